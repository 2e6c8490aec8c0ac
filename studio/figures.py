"""The figures of a home page: counts at an instant, and conversations a day."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Q, Sum
from django.db.models.functions import JSONObject
from django.utils.functional import Promise

from agencies.usage.chart import Chart, Counts, lay_out
from agencies.usage.choices import Period
from conversations.models import Attachment, Blob, Contact, Conversation, DailyCount, Message
from environments.choices import Kind
from environments.models import Organisation, OrganisationQuerySet
from web.among import Among
from web.together import count_if, counted, summed_up, totalled

DAYS_OF_WEEK = 7
MOST_CONVERSATIONS = 400  # whose items a home page counts, the latest first: each is looked up by itself


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of what readers can see: nothing older than its cutoff, also before the purge has deleted it.

    A week is seven UTC days, the last of them today. With ``has_more`` there are at least so many messages, files and
    bytes: those of the latest ``MOST_CONVERSATIONS``.
    """

    conversations: int
    messages: int
    contacts: int
    files: int  # attachments, as a preview and a receipt count them
    bytes: int  # in storage: a file of several attachments counts once; a receipt counts it for each
    conversations_this_week: int
    messages_this_week: int
    contacts_this_week: int  # active in it
    has_more: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts of what is below an organisation. The last three count environments."""

    kinds: Sequence[tuple[str | Promise, int]]  # without empty kinds, from the top down
    environments: int
    requiring_mfa: int
    with_a_limit: int
    suspended: int


def questions_about(environment: Organisation, *, now: datetime, most: int = MOST_CONVERSATIONS) -> dict[str, Any]:
    """Return what ``figures_of`` needs to know, for ``fetch_together``; items of at most so many conversations."""
    latest = Conversation.objects.filter(environment=environment).order_by("-last_activity_at", "-pk").values("pk")
    inside = Among("conversation", latest[:most])  # no index of items begins with their environment
    files = Attachment.objects.readable(now, environment=environment).filter(inside)
    contacts = Contact.objects.readable(now, environment=environment)
    starts_at = datetime.combine(first_of_week(now), time(), UTC)
    return {
        "conversations": counted(Conversation.objects.readable(now, environment=environment)),
        "messages": counted(Message.objects.readable(now, environment=environment).filter(inside)),
        "contacts": summed_up(contacts, all=count_if(), active=count_if(Q(last_activity_at__gte=starts_at))),
        "files": counted(files),
        "bytes": totalled(Blob.objects.filter(Among("pk", files.values("blob")), environment=environment), "size"),
        "more": latest[most : most + 1],
    }


def figures_of(answers: dict[str, list[Any]], chart: Chart, *, now: datetime) -> Figures:
    """Return the figures of an environment; those of the week are in its chart."""
    contacts, first = json.loads(answers["contacts"][0]), first_of_week(now)
    week = [bar for bar in chart.bars if bar.day >= first]
    return Figures(
        conversations=answers["conversations"][0],
        messages=answers["messages"][0],
        contacts=contacts["all"],
        files=answers["files"][0],
        bytes=int(answers["bytes"][0] or 0),
        conversations_this_week=sum(bar.counts.conversations for bar in week),
        messages_this_week=sum(bar.counts.messages for bar in week),
        contacts_this_week=contacts["active"],
        has_more=bool(answers["more"]),
    )


def first_of_week(now: datetime) -> date:
    return now.date() - timedelta(days=DAYS_OF_WEEK - 1)


def questions_of_chart(environments: OrganisationQuerySet, *, now: datetime) -> dict[str, Any]:
    """Return what ``daily_chart`` needs to know, for ``fetch_together``."""
    days = DailyCount.objects.filter(
        environment__in=environments.order_by().values("pk"), day__range=(days_of_chart(now)[0], now.date())
    )
    sums = {each.name: Sum(each.name) for each in fields(Counts)}
    row = JSONObject(day="day", **sums)
    return {"days": days.values("day").annotate(row=row).values_list("row")}


def days_of_chart(now: datetime) -> list[date]:
    return Period.DAYS_30.starts(today=now.date(), beginning=now.date())


def daily_chart(answers: dict[str, list[Any]], *, now: datetime) -> Chart:
    """Return the last 30 UTC days, today last, over all environments of the question."""
    by_day = {date.fromisoformat(row.pop("day")): Counts(**row) for row in map(json.loads, answers["days"])}
    return lay_out(days_of_chart(now), by_day)


def question_of_overview(below: OrganisationQuerySet) -> dict[str, Any]:
    """Ask how many organisations of each kind there are, and environments by their effective settings."""
    environments = Q(kind=Kind.ENVIRONMENT)
    counts = summed_up(
        below,
        **{kind.value: count_if(Q(kind=kind)) for kind in Kind},
        requiring_mfa=count_if(environments & Q(effective_require_mfa=True)),
        with_a_limit=count_if(environments & Q(effective_archive_after_days__isnull=False)),
        suspended=count_if(environments & Q(is_suspended=True)),
    )
    return {"overview": counts}


def overview(answers: dict[str, list[Any]]) -> Overview:
    """Return the counts of what is below an organisation."""
    counts = json.loads(answers["overview"][0])
    return Overview(
        kinds=[(kind.counted(counts[kind]), counts[kind]) for kind in Kind if counts[kind]],
        environments=counts[Kind.ENVIRONMENT],
        requiring_mfa=counts["requiring_mfa"],
        with_a_limit=counts["with_a_limit"],
        suspended=counts["suspended"],
    )
