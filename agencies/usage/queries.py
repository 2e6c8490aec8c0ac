"""Query the daily counts of an organisation and everything below it; they outlive what they counted."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from django.db.models import F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncMonth

from agencies.usage.chart import Chart, Counts, lay_out
from agencies.usage.choices import Measure, Period
from conversations.models import DailyCount
from environments.models import Organisation

Row = tuple[date, str, Counts]  # the first day of a period, a channel, and what was stored


@dataclass(frozen=True)
class Usage:
    """What was stored in a time: in its periods, by channel (most conversations first), and in all."""

    chart: Chart
    channels: list[tuple[str, Counts]]
    total: Counts


@dataclass(frozen=True)
class Beginning:
    """What is known of a channel from the start: the first day with a count, and the last with too few contacts."""

    first_day: date
    last_without_all_contacts: date | None


def counts_of(organisation: Organisation) -> QuerySet[DailyCount]:
    """Return the daily counts of the organisation and everything below it."""
    environments = Organisation.objects.below(organisation).environments().order_by()
    return DailyCount.objects.filter(environment__in=environments.values("pk"))


def beginning_by_channel(organisation: Organisation) -> dict[str, Beginning]:
    """Return the beginning of each channel, by name; one query."""
    found = counts_of(organisation).values("channel").order_by("channel")
    days = found.annotate(Min("day"), last=Max("day", filter=Q(has_all_contacts=False)))
    return {channel: Beginning(first, last) for channel, first, last in days.values_list("channel", "day__min", "last")}


def missing_until(beginnings: Iterable[Beginning], *, since: date) -> date | None:
    """Return the latest day from ``since`` on whose new contacts were not all counted, if there is one."""
    days = [each.last_without_all_contacts for each in beginnings if each.last_without_all_contacts]
    return max((day for day in days if day >= since), default=None)


def narrowed(found: QuerySet[DailyCount], *, since: date, until: date, channel: str) -> QuerySet[DailyCount]:
    """Narrow counts to the days from ``since`` to ``until``, both included, and to a channel, if it names one."""
    found = found.filter(day__range=(since, until))
    return found.filter(channel=channel) if channel else found


def rows_by_period(found: QuerySet[DailyCount], period: Period) -> list[Row]:
    """Return what was stored in each day or month and channel; one query."""
    start = TruncMonth("day") if period.is_in_months else F("day")
    grouped = found.annotate(start=start).values_list("start", "channel").order_by("start", "channel")
    sums = grouped.annotate(Sum("conversations"), Sum("messages"), Sum("contacts"), Sum("bytes"))
    return [(start, channel, Counts(*counts)) for start, channel, *counts in sums]


def usage_of(rows: Iterable[Row], periods: list[date], measure: Measure = Measure.CONVERSATIONS) -> Usage:
    """Add up the rows of these periods."""
    by_period: dict[date, Counts] = {}
    by_channel: dict[str, Counts] = {}
    for start, channel, counts in rows:
        by_period[start] = by_period.get(start, Counts()) + counts
        by_channel[channel] = by_channel.get(channel, Counts()) + counts
    channels = sorted(by_channel.items(), key=lambda each: (-each[1].conversations, each[0]))
    return Usage(lay_out(periods, by_period, measure), channels, sum(by_channel.values(), Counts()))


def csv_rows(found: QuerySet[DailyCount]) -> Iterator[tuple[object, ...]]:
    """Yield the header and then a row for each UTC day, environment and channel, the earliest first."""
    counts = ("conversations", "messages", "contacts", "has_all_contacts", "bytes")
    columns = ("day", "environment__name", "environment__slug", "channel", *counts)
    header = ("conversations", "messages", "new_contacts", "has_all_new_contacts", "attachment_bytes")
    yield ("day", "environment", "short_name", "channel", *header)
    rows = found.order_by("day", "environment__path", "channel").values_list(*columns)
    for *row, has_all_contacts, size in rows.iterator(chunk_size=2000):
        yield (*row, "yes" if has_all_contacts else "no", size)
