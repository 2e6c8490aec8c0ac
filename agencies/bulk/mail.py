"""Announce a bulk change: one mail to each person, with everything that concerns them."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from accounts import mail
from accounts.models import User
from agencies.bulk.wanted import MFA, RETENTION
from agencies.choices import ItemState
from agencies.models import BulkChange, BulkItem
from archival.choices import ChangeState
from archival.models import Announcement, PolicyChange
from archival.policy.services import postpone_change
from environments.choices import MfaSetting, ScheduleState
from environments.models import Membership, MfaChange, Organisation
from environments.policies.resolve import lock_policies
from environments.policies.retention import CHANGED_BY

MOST_NAMED = 20
MOST_LATE = timedelta(minutes=10)  # by which an announcement can cut ``COOLING_OFF_HOURS`` short


def announce(job: BulkChange, *, now: datetime) -> int:
    """Mail each person who can change settings in an environment what the job did there; return how many mails.

    Call it in the transaction that ends the job. Its pending changes stop waiting for their announcement; one that
    comes so late that little of ``COOLING_OFF_HOURS`` is left starts that wait again.
    """
    done = job.items.filter(state__in=(ItemState.CHANGED, ItemState.PENDING)).order_by("pk")
    items = [item for item in done.select_related("policy_change", "mfa_change") if is_news(item)]
    changes = [item.policy_change for item in items if item.policy_change and item.policy_change.is_pending]
    start_waits_again(changes, now=now)
    concerned = items_by_person(items)
    announcements: list[Announcement] = []
    for user in User.objects.filter(pk__in=concerned).order_by("pk"):
        mine = concerned[user.pk]
        delivery = mail.send(user, "bulk_change", facts_of(job, mine))
        announcements += (
            Announcement(change=item.policy_change, user=user, delivery=delivery)
            for item in mine
            if delivery is not None and item.policy_change in changes
        )
    Announcement.objects.bulk_create(announcements, batch_size=1000)
    schedules = [item.mfa_change_id for item in items if item.mfa_change_id]
    MfaChange.objects.filter(pk__in=schedules).update(awaits_announcement=False)
    PolicyChange.objects.filter(pk__in=[each.pk for each in changes]).update(awaits_announcement=False)
    return len(concerned)


def is_news(item: BulkItem) -> bool:
    """Return whether anything of what the item did is left to announce: not a change that was cancelled meanwhile."""
    change, schedule = item.policy_change, item.mfa_change
    is_set = MFA in item.before and (schedule is None or schedule.state != ScheduleState.CANCELLED)
    is_ended = schedule is not None and MFA not in item.before
    return is_set or is_ended or (change is not None and (change.is_pending or is_kept(item, change)))


def is_kept(item: BulkItem, change: PolicyChange) -> bool:
    """Return whether a change of retention is in effect, or was one that waited and that the item ended."""
    is_replaced = change.state == ChangeState.REPLACED and RETENTION not in item.before
    return change.state == ChangeState.APPLIED or is_replaced


def start_waits_again(changes: Iterable[PolicyChange], *, now: datetime) -> None:
    """Postpone pending changes that delete something, if their announcement comes too late for the wait."""
    until = now + timedelta(hours=settings.COOLING_OFF_HOURS)
    late = [change for change in changes if change.deletes and change.acts_at < until - MOST_LATE]
    if late:
        lock_policies()
    for change in late:
        postpone_change(change, until=until)


def items_by_person(items: list[BulkItem]) -> dict[int, list[BulkItem]]:
    """Return the items that concern each active person who can change settings there, by user id; two queries."""
    paths = dict(Organisation.objects.filter(pk__in=[item.environment_id for item in items]).values_list("pk", "path"))
    step = Organisation.steplen
    lineages = {pk: [path[:end] for end in range(step, len(path) + 1, step)] for pk, path in paths.items()}
    granted = Membership.objects.live().allowing(CHANGED_BY).filter(user__is_active=True)
    granted = granted.filter(organisation__path__in={path for lineage in lineages.values() for path in lineage})
    people: defaultdict[str, set[int]] = defaultdict(set)
    for path, user in granted.values_list("organisation__path", "user"):
        people[path].add(user)
    found: defaultdict[int, list[BulkItem]] = defaultdict(list)
    for item in items:
        lineage = lineages.get(item.environment_id, [])
        for user in set().union(*(people[path] for path in lineage)):
            found[user].append(item)
    return dict(found)


def facts_of(job: BulkChange, items: list[BulkItem]) -> dict[str, Any]:
    """Return what a mail says of these items: a list for each kind of change, each with its first environments."""
    changes = [(item, item.policy_change) for item in items if item.policy_change is not None]
    waiting = [change for _item, change in changes if change.is_pending]
    kept = [change for item, change in changes if is_kept(item, change)]
    mfa = [item for item in items if MFA in item.before or item.mfa_change is not None]
    return {
        "job": job,
        "names": [item.environment_label for item in items[:1]],
        "count": len(items),
        "waiting": _list_of(waiting),
        "deletes": {
            kind: sum(change.preview.get(kind, 0) for change in waiting) for kind in ("conversations", "messages")
        },
        "acts_at": min((change.acts_at for change in waiting), default=None),
        "kept": _list_of(kept),
        "mfa": _list_of([_mfa_fact(item) for item in mfa]),
    }


def _list_of(changes: list[Any]) -> dict[str, Any]:
    return {"first": changes[:MOST_NAMED], "count": len(changes)}


def _mfa_fact(item: BulkItem) -> dict[str, Any]:
    """Return the environment, the new own value, and from when it is in effect (None: now)."""
    scheduled = item.mfa_change if item.mfa_change is not None and item.mfa_change.is_pending else None
    value = MfaSetting(item.wanted[MFA]["value"])
    return {"name": item.environment_label, "value": value.label, "acts_at": scheduled and scheduled.acts_at}
