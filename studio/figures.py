"""The figures of a home page: counts at an instant, and conversations a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Count, Q, Sum
from django.utils.functional import Promise

from conversations.models import Attachment, Blob, Contact, Conversation, DailyCount, Message
from environments.choices import Kind
from environments.models import Organisation, OrganisationQuerySet

CHART_DAYS = 30
CHART_HEIGHT = 64  # px, of the bars
GAP = 0.5  # per cent, between two bars
DAYS_OF_WEEK = 7


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of what readers can see: nothing older than its cutoff, also before the purge has deleted it.

    A week is seven UTC days, the last of them today.
    """

    conversations: int
    messages: int
    contacts: int
    files: int  # attachments, as a preview and a receipt count them
    bytes: int  # in storage: a file of several attachments counts once; a receipt counts it for each
    conversations_this_week: int
    messages_this_week: int
    contacts_this_week: int  # active in it


@dataclass(frozen=True, slots=True)
class Bar:
    """A UTC day of the chart, in units of SVG: x and width in per cent, y and height in pixels."""

    day: date
    conversations: int
    messages: int
    x: str
    width: str
    y: str
    height: str
    is_today: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """Conversations a day; ``fewest`` and ``most`` leave out today, which is not over."""

    bars: Sequence[Bar]
    fewest: int
    most: int

    @property
    def today(self) -> Bar:
        return self.bars[-1]

    @property
    def is_empty(self) -> bool:
        return not any(bar.conversations or bar.messages for bar in self.bars)


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts of what is below an organisation. The last three count environments."""

    kinds: Sequence[tuple[str | Promise, int]]  # without empty kinds, from the top down
    environments: int
    requiring_mfa: int
    with_a_limit: int
    suspended: int


def count_figures(environment: Organisation, *, now: datetime) -> Figures:
    """Count what the environment has; six queries."""
    inside = Q(conversation__environment=environment)  # no index of items begins with their environment
    messages = Message.objects.readable(now, environment=environment).filter(inside)
    files = Attachment.objects.readable(now, environment=environment).filter(inside)
    blobs = Blob.objects.filter(environment=environment, pk__in=files.values("blob"))
    stored = blobs.aggregate(total=Sum("size"))
    first = now.date() - timedelta(days=DAYS_OF_WEEK - 1)
    starts_at = datetime.combine(first, time(), UTC)
    week = DailyCount.objects.filter(environment=environment, day__gte=first)
    came = week.aggregate(conversations=Sum("conversations"), messages=Sum("messages"))
    contacts = Contact.objects.readable(now, environment=environment)
    people = contacts.aggregate(all=Count("pk"), active=Count("pk", filter=Q(last_activity_at__gte=starts_at)))
    return Figures(
        conversations=Conversation.objects.readable(now, environment=environment).count(),
        messages=messages.count(),
        contacts=people["all"],
        files=files.count(),
        bytes=stored["total"] or 0,
        conversations_this_week=came["conversations"] or 0,
        messages_this_week=came["messages"] or 0,
        contacts_this_week=people["active"],
    )


def daily_chart(environments: OrganisationQuerySet, *, now: datetime) -> Chart:
    """Return the last 30 UTC days, today last, over all these environments; one query."""
    first = now.date() - timedelta(days=CHART_DAYS - 1)
    counted = (
        DailyCount.objects.filter(environment__in=environments.order_by().values("pk"), day__range=(first, now.date()))
        .values("day")
        .annotate(conversations=Sum("conversations"), messages=Sum("messages"))
    )
    by_day = {row["day"]: (row["conversations"], row["messages"]) for row in counted}
    days = [first + timedelta(days=number) for number in range(CHART_DAYS)]
    highest = max((conversations for conversations, _messages in by_day.values()), default=0) or 1
    bars = [_bar(number, day, *by_day.get(day, (0, 0)), highest=highest) for number, day in enumerate(days)]
    earlier = [bar.conversations for bar in bars[:-1]]
    return Chart(bars, fewest=min(earlier), most=max(earlier))


def _bar(number: int, day: date, conversations: int, messages: int, *, highest: int) -> Bar:
    step, height = 100 / CHART_DAYS, CHART_HEIGHT * conversations / highest
    return Bar(
        day=day,
        conversations=conversations,
        messages=messages,
        x=f"{number * step + GAP / 2:.2f}%",
        width=f"{step - GAP:.2f}%",
        y=f"{CHART_HEIGHT - height:.1f}",
        height=f"{height:.1f}",
        is_today=number == CHART_DAYS - 1,
    )


def overview(below: OrganisationQuerySet) -> Overview:
    """Count organisations by kind, and environments by their effective settings; one query."""
    environments = Q(kind=Kind.ENVIRONMENT)
    counted = below.order_by().aggregate(
        **{kind.value: Count("pk", filter=Q(kind=kind)) for kind in Kind},
        requiring_mfa=Count("pk", filter=environments & Q(effective_require_mfa=True)),
        with_a_limit=Count("pk", filter=environments & Q(effective_archive_after_days__isnull=False)),
        suspended=Count("pk", filter=environments & Q(is_suspended=True)),
    )
    return Overview(
        kinds=[(kind.counted(counted[kind]), counted[kind]) for kind in Kind if counted[kind]],
        environments=counted[Kind.ENVIRONMENT],
        requiring_mfa=counted["requiring_mfa"],
        with_a_limit=counted["with_a_limit"],
        suspended=counted["suspended"],
    )
