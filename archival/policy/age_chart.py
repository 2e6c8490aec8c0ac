"""Count data by age in days, and lay out the chart for any limit."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise

from django.db import connection

from archival.holds.coverage import CONTACT, CONVERSATION, WHOLE_ENVIRONMENT, hold_exists
from archival.policy.previews import Preview, ReadOnly
from environments.models import Organisation
from web.clock import cutoff

KINDS = ("messages", "conversations", "variables", "attachments", "contacts", "bytes", "held")
DAY = timedelta(hours=24)
MOST_BARS = 40
WIDTHS = (1, 2, 5, 10, 15, 30, 60, 90, 180, 365, 730, 1825)  # days of a bar where all bars cover as many
# Where bars begin if each covers more days than the one before it.
AGES = (
    *(0, 1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 120, 180, 270, 365, 545, 730),
    *(1095, 1460, 1825, 2555, 3650, 5475, 7300, 10950, 18250, 36500),
)
TABLE_AGES = (0, 7, 30, 90, 180, 365, 730, 1825)
HEIGHT, TOP = 160.0, 40.0  # px: the axis, and the line above the highest bar
LEAST_HEIGHT = 2.0  # px: a single message can be seen
TICKS = 6


@dataclass(frozen=True)
class Row:
    """Counts of data that is ``first`` to ``last`` whole days old, or older if ``last`` is ``None``.

    ``held`` counts messages; ``is_deleted`` is whether the limit deletes what is so old.
    """

    first: int
    last: int | None
    counts: dict[str, int]
    is_deleted: bool

    @property
    def is_empty(self) -> bool:
        return not any(self.counts.values())


@dataclass(frozen=True)
class Bar:
    """One bar of the chart: x and width in per cent, y and height in pixels; ``look`` is empty, gone or held."""

    x: str
    width: str
    y: str
    height: str
    look: str


@dataclass(frozen=True)
class Mark:
    """A number on a scale: an age in days at ``at`` per cent from the left, or a count ``at`` pixels from the top."""

    at: str
    number: int
    is_low: bool = False  # whether narrow screens leave it out


@dataclass(frozen=True)
class Histogram:
    """Counts of data by age, in whole days of 24 hours before ``now``.

    ``days`` maps an age to ``{messages, conversations, variables, attachments, contacts, bytes, held}``. The methods
    take a ``cut``, the limit to show in days, or ``None`` for no limit.
    """

    now: datetime
    days: dict[int, dict[str, int]] = field(default_factory=dict)

    @property
    def oldest_day(self) -> int:
        return max(self.days, default=0)

    @property
    def total(self) -> dict[str, int]:
        return {kind: sum(counts[kind] for counts in self.days.values()) for kind in KINDS}

    def counts_between(self, first: int, last: int | None) -> dict[str, int]:
        inside = [counts for age, counts in self.days.items() if first <= age and (last is None or age <= last)]
        return {kind: sum(counts[kind] for counts in inside) for kind in KINDS}

    def kept_and_deleted(self, cut: int | None) -> tuple[int, int]:
        """Return how many messages the limit keeps, held ones included, and how many it deletes."""
        if cut is None:
            return self.total["messages"], 0
        old = self.counts_between(cut, None)
        deleted = old["messages"] - old["held"]
        return self.total["messages"] - deleted, deleted

    @cached_property
    def is_even(self) -> bool:
        """Whether every bar covers as many days, and not more days the older they are.

        It is decided by the data alone, so that every limit is drawn on the same scale: the one on which the highest
        bar has less of everything. Data of which nearly all is of a few days needs bars that grow.
        """
        end = self.oldest_day + 1
        even, growing = (max(self.messages_in(edges)) for edges in (even_edges(end, None), growing_edges(end, None)))
        return even <= growing

    def messages_in(self, edges: list[int], kind: str = "messages") -> list[int]:
        """Return the counts of messages, or of held ones, between each two neighbours of ``edges``."""
        found = [0] * (len(edges) - 1)
        for age, counts in self.days.items():
            found[bisect_right(edges, age) - 1] += counts[kind]
        return found

    def drawn_cut(self, cut: int | None) -> int | None:
        """Return the cut if the chart has room for it: it is at most twice as old as what is there."""
        return cut if cut is not None and cut <= 2 * (self.oldest_day + 1) else None

    def edges(self, cut: int | None) -> list[int]:
        """Return the ages at which bars begin, and the age at which the last bar ends; a drawn cut is among them."""
        drawn = self.drawn_cut(cut)
        end = max(self.oldest_day + 1, drawn or 0)
        return even_edges(end, drawn) if self.is_even else growing_edges(end, drawn)

    def x_of(self, edges: list[int], age: int) -> float:
        """Return where an age of ``edges``, or on an even scale any age, is: per cent from the left."""
        return age * 100 / edges[-1] if self.is_even else edges.index(age) * 100 / (len(edges) - 1)

    def bars(self, cut: int | None) -> list[Bar]:
        """Return the bars that count messages; held ones stand below those that the limit deletes."""
        edges = self.edges(cut)
        messages, held = self.messages_in(edges), self.messages_in(edges, "held")
        most = round_up(max(messages))
        bars = []
        for number, (first, last) in enumerate(pairwise(edges)):
            x, end, bottom = self.x_of(edges, first), self.x_of(edges, last), HEIGHT
            is_deleted = cut is not None and first >= cut
            parts = [(held[number], "held"), (messages[number] - held[number], "gone")]
            for count, look in parts if is_deleted else [(messages[number], "")]:
                if count:
                    height = max(LEAST_HEIGHT, count / most * (HEIGHT - TOP))
                    bottom -= height
                    gap = (end - x) * 0.09
                    place = f"{x + gap:.2f}%", f"{end - x - 2 * gap:.2f}%"
                    bars.append(Bar(*place, f"{bottom:.1f}", f"{height:.1f}", look))
        return bars

    def cut_x(self, cut: int | None) -> str:
        """Return the x of the cut in per cent, or an empty text without a cut, or with one beyond the chart."""
        drawn = self.drawn_cut(cut)
        return "" if drawn is None else f"{self.x_of(self.edges(cut), drawn):.2f}%"

    def last_age(self, cut: int | None) -> int:
        """Return the age in days at the right end of the chart."""
        return self.edges(cut)[-1]

    def ages(self, cut: int | None) -> list[Mark]:
        """Return round ages for the scale below the bars, without those in the way of the texts at both ends."""
        edges = self.edges(cut)
        if self.is_even:
            step = next((width for width in WIDTHS if edges[-1] <= TICKS * width), -(-edges[-1] // TICKS))
            numbers = list(range(step, edges[-1], step))
        else:
            numbers = [age for age in (1, 7, 30, 90, 365, 1095, 3650, 10950) if age in edges]
        places = [(self.x_of(edges, number), number) for number in numbers]
        return [Mark(f"{x:.2f}%", number, is_low=x > 62) for x, number in places if 12 <= x <= 85]

    def scale(self, cut: int | None) -> list[Mark]:
        """Return two round counts for the scale beside the bars: none is higher than the first."""
        most = round_up(max(self.messages_in(self.edges(cut))))
        return [Mark(f"{TOP:.1f}", most), Mark(f"{(HEIGHT + TOP) / 2:.1f}", most // 2)]

    def rows(self, cut: int | None) -> list[Row]:
        """Return the rows of a table with a few spans of ages; the cut lies between two rows."""
        few = range(self.oldest_day + 1) if self.oldest_day < TABLE_AGES[1] else TABLE_AGES
        marks = sorted({*few, *([cut] if cut else [])})
        marks = [mark for mark in marks if mark <= self.oldest_day or mark == cut]
        rows = []
        for number, first in enumerate(marks):
            last = marks[number + 1] - 1 if number + 1 < len(marks) else None
            rows.append(Row(first, last, self.counts_between(first, last), cut is not None and first >= cut))
        return rows


def even_edges(end: int, cut: int | None) -> list[int]:
    """Return edges of bars of one round width up to ``end``; the first is narrower if that puts an edge at the cut."""
    width = next((width for width in WIDTHS if end <= MOST_BARS * width), -(-end // MOST_BARS))
    first = (cut or 0) % width
    return [0, *range(first or width, end + width, width)]


def growing_edges(end: int, cut: int | None) -> list[int]:
    """Return edges of bars that cover more days the older they are; the cut takes the place of those next to it."""
    last = next((age for age in AGES if age >= end), end)
    inner = [age for age in AGES if age < end and (cut is None or abs(age - cut) * 8 > cut)]
    return sorted({0, *inner, *([] if cut is None else [cut]), last})


def round_up(count: int) -> int:
    """Return a round, even number that is not below the count."""
    power = 10 ** (len(str(count)) - 1)
    return max(2, next(power * part for part in (1, 2, 4, 6, 8, 10) if power * part >= count))


_HELD = hold_exists("c.environment_id", WHOLE_ENVIRONMENT, CONVERSATION)
# Every kind is counted by day, back from now. A day includes its first instant, so an item that is exactly N days old
# is in a day that is kept.
_DAY = "date_bin('1 day', {at}, %(counted_for)s::timestamptz)"
_STAYS = "(c.held OR c.cutoff IS NULL OR {at} >= c.cutoff)"  # what is past its limit already is left out
_HISTOGRAM = f"""
WITH p AS MATERIALIZED (SELECT * FROM unnest(%(ids)s::bigint[], %(cutoffs)s::timestamptz[]) AS p(id, cutoff)),
c AS MATERIALIZED (
  SELECT c.id, c.environment_id, c.contact_id, c.last_activity_at, p.cutoff, {_HELD} AS held
  FROM p JOIN conversations_conversation c ON c.environment_id = p.id),
latest AS MATERIALIZED (
  SELECT environment_id, contact_id, max(last_activity_at) AS at,
    bool_or(held OR cutoff IS NULL OR last_activity_at >= cutoff) AS stays
  FROM c GROUP BY 1, 2)
SELECT 'messages', {_DAY.format(at="m.sent_at")}, count(*), 0::bigint, count(*) FILTER (WHERE c.held)
  FROM c JOIN conversations_message m ON m.conversation_id = c.id AND m.environment_id = c.environment_id
  WHERE {_STAYS.format(at="m.sent_at")} GROUP BY 2
UNION ALL SELECT 'variables', {_DAY.format(at="v.written_at")}, count(*), 0, 0
  FROM c JOIN conversations_conversationvariable v ON v.conversation_id = c.id AND v.environment_id = c.environment_id
  WHERE {_STAYS.format(at="v.written_at")} GROUP BY 2
UNION ALL SELECT 'attachments', {_DAY.format(at="a.sent_at")}, count(*), COALESCE(sum(b.size), 0)::bigint, 0
  FROM c JOIN conversations_attachment a ON a.conversation_id = c.id AND a.environment_id = c.environment_id
  LEFT JOIN conversations_blob b ON b.id = a.blob_id AND b.environment_id = a.environment_id
  WHERE {_STAYS.format(at="a.sent_at")} GROUP BY 2
UNION ALL SELECT 'conversations', {_DAY.format(at="c.last_activity_at")}, count(*), 0, 0
  FROM c WHERE {_STAYS.format(at="c.last_activity_at")} GROUP BY 2
UNION ALL SELECT 'contacts', {_DAY.format(at="GREATEST(t.last_activity_at, latest.at)")}, count(*), 0, 0
  FROM p JOIN conversations_contact t ON t.environment_id = p.id
  LEFT JOIN latest ON latest.contact_id = t.id AND latest.environment_id = t.environment_id
  WHERE latest.stays OR p.cutoff IS NULL OR t.last_activity_at >= p.cutoff
    OR {hold_exists("p.id", WHOLE_ENVIRONMENT, CONTACT)}
  GROUP BY 2
"""


def count_by_age(
    organisation: Organisation,
    now: datetime,
    *,
    only: Iterable[int] | None = None,
    counted_for: datetime | None = None,
    with_past: bool = False,
) -> Histogram:
    """Return counts by age and kind of the data in the organisation's environments, or only in those with the ids.

    Leaves out what is past the cutoff at ``now`` and not purged yet, unless it is held or ``with_past`` is set; a
    preview counts it, so the chart beside a preview sets that. Ages are those at ``counted_for``, by default ``now``.
    Two queries, read only. Raises ``ValidationError`` if they take longer than 20 seconds.
    """
    counted_for = counted_for or now
    below = Organisation.objects.below(organisation).environments()
    below = below if only is None else below.filter(pk__in=list(only))
    limits = list(below.order_by("pk").values_list("pk", "effective_archive_after_days"))
    ids = [pk for pk, _ in limits]
    cutoffs = [None if days is None or with_past else cutoff(now, days) for _, days in limits]
    days: dict[int, dict[str, int]] = {}
    with ReadOnly(), connection.cursor() as cursor:
        cursor.execute(_HISTOGRAM, {"now": now, "counted_for": counted_for, "ids": ids, "cutoffs": cutoffs})
        for kind, begins_at, count, size, held in cursor.fetchall():
            age = max(0, (counted_for - begins_at) // DAY - 1)
            counts = days.setdefault(age, dict.fromkeys(KINDS, 0))
            counts[kind] += count
            counts["bytes"] += size
            counts["held"] += held
    return Histogram(counted_for, days)


@dataclass(frozen=True)
class Chart:
    """What ``templates/archival/evidence/_figure.html`` draws; ``cut`` is the limit in days, or ``None``."""

    cut: int | None
    cut_x: str  # empty if the cut is beyond the right end
    bars: list[Bar]
    scale: list[Mark]
    ages: list[Mark]
    is_even: bool
    rows: list[Row]
    total: dict[str, int]
    kept: int
    deleted: int
    last_age: int
    preview: Preview | None = None


def lay_out_chart(histogram: Histogram, cut: int | None, *, preview: Preview | None = None) -> Chart:
    """Return the chart of a histogram for a limit; with ``preview``, the template also shows its exact counts."""
    kept, deleted = histogram.kept_and_deleted(cut)
    return Chart(
        cut=cut,
        cut_x=histogram.cut_x(cut),
        bars=histogram.bars(cut),
        scale=histogram.scale(cut),
        ages=histogram.ages(cut),
        is_even=histogram.is_even,
        rows=histogram.rows(cut),
        total=histogram.total,
        kept=kept,
        deleted=deleted,
        last_age=histogram.last_age(cut),
        preview=preview,
    )
