"""Query the daily counts of an organisation and everything below it; they outlive what they counted."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from django.db.models import F, Min, QuerySet, Sum
from django.db.models.functions import TruncMonth

from agencies.usage.chart import Chart, Counts, lay_out
from agencies.usage.choices import Period
from conversations.models import DailyCount
from environments.models import Organisation

Row = tuple[date, str, Counts]  # the first day of a period, a channel, and what was stored


@dataclass(frozen=True)
class Usage:
    """What was stored in a time: in its periods, by channel (most conversations first), and in all."""

    chart: Chart
    channels: list[tuple[str, Counts]]
    total: Counts


def counts_of(organisation: Organisation) -> QuerySet[DailyCount]:
    """Return the daily counts of the organisation and everything below it."""
    environments = Organisation.objects.below(organisation).environments().order_by()
    return DailyCount.objects.filter(environment__in=environments.values("pk"))


def first_day_by_channel(organisation: Organisation) -> dict[str, date]:
    """Return each channel, by name, with the first day on which something was counted; one query."""
    found = counts_of(organisation).values("channel").annotate(first=Min("day")).order_by("channel")
    return dict(found.values_list("channel", "first"))


def narrowed(found: QuerySet[DailyCount], *, since: date, until: date, channel: str) -> QuerySet[DailyCount]:
    """Narrow counts to the days from ``since`` to ``until``, both included, and to a channel, if it names one."""
    found = found.filter(day__range=(since, until))
    return found.filter(channel=channel) if channel else found


def rows_by_period(found: QuerySet[DailyCount], period: Period) -> list[Row]:
    """Return what was stored in each day or month and channel; one query."""
    start = TruncMonth("day") if period.is_in_months else F("day")
    grouped = found.annotate(start=start).values_list("start", "channel").order_by("start", "channel")
    sums = grouped.annotate(Sum("conversations"), Sum("messages"), Sum("bytes"))
    return [(start, channel, Counts(*counts)) for start, channel, *counts in sums]


def usage_of(rows: Iterable[Row], periods: list[date]) -> Usage:
    """Add up the rows of these periods."""
    by_period: dict[date, Counts] = {}
    by_channel: dict[str, Counts] = {}
    for start, channel, counts in rows:
        by_period[start] = by_period.get(start, Counts()) + counts
        by_channel[channel] = by_channel.get(channel, Counts()) + counts
    channels = sorted(by_channel.items(), key=lambda each: (-each[1].conversations, each[0]))
    return Usage(lay_out(periods, by_period), channels, sum(by_channel.values(), Counts()))


def csv_rows(found: QuerySet[DailyCount]) -> Iterator[tuple[object, ...]]:
    """Yield the header and then a row for each UTC day, environment and channel, the earliest first."""
    columns = ("day", "environment__name", "environment__slug", "channel", "conversations", "messages", "bytes")
    yield ("day", "environment", "short_name", "channel", "conversations", "messages", "attachment_bytes")
    yield from found.order_by("day", "environment__path", "channel").values_list(*columns).iterator(chunk_size=2000)
