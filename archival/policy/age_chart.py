"""Count data by age in days, and lay out the chart for any limit."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection

from archival.holds.coverage import CONTACT, CONVERSATION, WHOLE_ENVIRONMENT, hold_exists
from archival.policy.previews import Preview, ReadOnly
from environments.models import Organisation
from web.clock import cutoff

KINDS = ("messages", "conversations", "variables", "attachments", "contacts", "bytes", "held")
DAY = timedelta(hours=24)
MOST_BARS = 40
BARS_TO_THE_CUT = 12
HEIGHT, TOP = 160.0, 48.0  # px: the axis, and the highest bar's top


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

    def edges(self, cut: int | None) -> list[int]:
        """Return the ages at which bars begin, and the age at which the last bar ends; the cut is among them."""
        span = self.oldest_day + 1
        if cut is None or cut >= 10 * span:
            width = max(1, -(-span // 26))
            return list(range(0, span + width, width))
        parts = min(BARS_TO_THE_CUT, cut)
        edges = [round(part * cut / parts) for part in range(MOST_BARS + 1)]
        return edges[: max(bisect_left(edges, span) + 1, parts + 2)]

    def bars(self, cut: int | None) -> list[Bar]:
        """Return the bars that count messages; the last bar also has everything older."""
        edges = self.edges(cut)
        last = len(edges) - 2
        bars: list[tuple[int, int, str]] = []
        for number in range(last + 1):
            counts = self.counts_between(edges[number], None if number == last else edges[number + 1] - 1)
            is_deleted = cut is not None and edges[number] >= cut
            held = counts["held"] if is_deleted else 0
            bars.append((number, counts["messages"] - held, "gone" if is_deleted else ""))
            if held:
                bars.append((number, held, "held"))
        most = max((count for _, count, _ in bars), default=0) or 1
        share = 100 / (last + 1)
        return [
            Bar(
                x=f"{number * share + share * 0.09:.2f}%",
                width=f"{share * 0.82:.2f}%",
                y=f"{HEIGHT - count / most * (HEIGHT - TOP):.1f}",
                height=f"{count / most * (HEIGHT - TOP):.1f}",
                look=look,
            )
            for number, count, look in bars
            if count
        ]

    def cut_x(self, cut: int | None) -> str:
        """Return the x of the cut in per cent, or an empty text without a cut."""
        edges = self.edges(cut)
        return f"{edges.index(cut) * 100 / (len(edges) - 1):.2f}%" if cut in edges else ""

    def is_open(self, cut: int | None) -> bool:
        """Return whether the last bar also has items older than its width."""
        return self.oldest_day >= self.edges(cut)[-1]

    def last_age(self, cut: int | None) -> int:
        """Return the age in days at the right end of the chart, or where an open last bar begins."""
        return self.edges(cut)[-2 if self.is_open(cut) else -1]

    def rows(self, cut: int | None) -> list[Row]:
        """Return the rows of a table with a few spans of ages; the cut lies between two rows."""
        marks = sorted({0, 30, 90, 180, 365, 730, *([cut] if cut else [])})
        marks = [mark for mark in marks if mark <= self.oldest_day or mark == cut]
        rows = []
        for number, first in enumerate(marks):
            last = marks[number + 1] - 1 if number + 1 < len(marks) else None
            rows.append(Row(first, last, self.counts_between(first, last), cut is not None and first >= cut))
        return rows


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
    cut_x: str
    bars: list[Bar]
    rows: list[Row]
    total: dict[str, int]
    kept: int
    deleted: int
    last_age: int
    is_open: bool
    preview: Preview | None = None


def lay_out_chart(histogram: Histogram, cut: int | None, *, preview: Preview | None = None) -> Chart:
    """Return the chart of a histogram for a limit; with ``preview``, the template also shows its exact counts."""
    kept, deleted = histogram.kept_and_deleted(cut)
    return Chart(
        cut=cut,
        cut_x=histogram.cut_x(cut),
        bars=histogram.bars(cut),
        rows=histogram.rows(cut),
        total=histogram.total,
        kept=kept,
        deleted=deleted,
        last_age=histogram.last_age(cut),
        is_open=histogram.is_open(cut),
        preview=preview,
    )
