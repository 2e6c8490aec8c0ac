"""Start a bulk change, do it environment by environment, and revert it."""

import logging
import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import OperationalError, transaction
from django.db.models import Count, Max
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, override

from accounts.models import User
from agencies.bulk.mail import announce
from agencies.bulk.wanted import MFA, RETENTION, Wanted, mfa_as_json, mfa_of, retention_as_json, retention_of
from agencies.choices import ItemState
from agencies.models import BulkChange, BulkItem
from archival.choices import ChangeState
from archival.models import PolicyChange
from archival.policy.previews import StalePreview
from archival.policy.services import change_retention, check_typed_name, reason_of_refusal
from audit.services import label_of, record
from environments.access import permissions_in
from environments.caller import Caller
from environments.choices import Permission, ScheduleState
from environments.keys.suspension import review_keys
from environments.models import MfaChange, Organisation
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import schedule_mfa
from environments.policies.resolve import lock_policies
from environments.policies.retention import Retention
from environments.policies.scheduled import pending_change, state_of
from environments.policies.services import set_require_mfa
from web.alone import name_of
from web.background import enqueue_after_commit
from web.clock import database_now
from web.versions import ChangedMeanwhile, version_of

logger = logging.getLogger(__name__)

RUN = "agencies.tasks.run_bulk_change"
LOST_AFTER = timedelta(seconds=30)  # a running job in which nothing was done for this long has lost its worker
MOST_TRIES = 3  # of an environment where the database gives up, such as by a deadlock
REVERTIBLE = (ItemState.CHANGED, ItemState.PENDING)
# Stored in English, translated when they are shown.
GONE = gettext_noop("The environment was deleted.")
NOT_ALLOWED = gettext_noop("The person who started this cannot change advanced settings here any more.")
SUSPENDED = gettext_noop("The environment is suspended.")
CHANGED_SINCE = gettext_noop("It was changed since, so it was left as it is.")
BROKEN = gettext_noop("An error on our side. Try again; if it stays, ask whoever runs Studio.")


# -- Start -------------------------------------------------------------------------------------------


@transaction.atomic
def start_bulk_change(
    organisation: Organisation,
    environments: Iterable[Organisation],
    *,
    wanted: Wanted,
    by: Caller,
    now: datetime,
    typed_name: str | None = None,
) -> BulkChange:
    """Store a job that sets ``wanted`` in these environments, and enqueue it; the caller has asked for step-up.

    The permission of the person is checked again in each environment when it is done. Where ``COOLING_OFF_HOURS`` is 0,
    an environment in which data would be deleted at once is refused without the organisation's name as ``typed_name``.
    Raises ``ValidationError`` if nothing is to be set, if there are no environments, and for another name, and
    ``PermissionDenied`` for anybody but a person.
    """
    each = wanted.as_json()
    items = ((one, each) for one in environments)
    return _start(organisation, items, wanted=wanted, by=by, now=now, typed_name=typed_name)


@transaction.atomic
def revert_bulk_change(job: BulkChange, *, by: Caller, now: datetime, typed_name: str | None = None) -> BulkChange:
    """Start a job that sets back what ``job`` changed; the caller has asked for step-up.

    It leaves alone what was changed since. What was deleted stays deleted, and a shorter limit waits again;
    ``typed_name`` is as in ``start_bulk_change``. Raises ``ValidationError`` if the job is running, was reverted
    already, or changed nothing.
    """
    locked = BulkChange.objects.select_for_update().get(pk=job.pk)
    if locked.is_running:
        raise ValidationError(_("Wait until this bulk change has finished."), code="running")
    if locked.reversals.exists():
        raise ValidationError(_("This bulk change was reverted already."), code="reverted")
    organisation = Organisation.objects.get(pk=job.organisation_id)
    items = job.items.filter(state__in=REVERTIBLE).order_by("pk")
    pairs = ((item, wanted_before(item)) for item in items)
    wanted = ((_environment_of(item), before.as_json()) for item, before in pairs if before)
    return _start(organisation, wanted, wanted=Wanted(), by=by, now=now, typed_name=typed_name, reverts=job)


def wanted_before(item: BulkItem) -> Wanted:
    """Return the own values that were there before an item changed them."""
    retention, mfa = item.before.get(RETENTION), item.before.get(MFA)
    return Wanted(retention=retention and retention_of(retention), mfa=mfa and mfa_of(mfa))


def _environment_of(item: BulkItem) -> Organisation:
    return Organisation(pk=item.environment_id, name=item.environment_label)


def _start(
    organisation: Organisation,
    items: Iterable[tuple[Organisation, dict[str, object]]],
    *,
    wanted: Wanted,
    by: Caller,
    now: datetime,
    typed_name: str | None,
    reverts: BulkChange | None = None,
) -> BulkChange:
    if typed_name is not None:
        check_typed_name(typed_name, organisation)
    job = BulkChange.objects.create(
        organisation=organisation,
        organisation_label=organisation.name,
        requested_by=by.require_person(),
        requested_label=label_of(by),
        requested_at=now,
        wanted=wanted.as_json(),
        deletes_at_once=typed_name is not None,
        reverts=reverts,
    )
    made = BulkItem.objects.bulk_create(
        BulkItem(job=job, environment=environment, environment_label=environment.name, wanted=each)
        for environment, each in items
        if each
    )
    if not made:
        raise ValidationError(_("Nothing is to be changed."), code="nothing")
    job.environment_count = len(made)
    job.save(update_fields=["environment_count"])
    action = "bulk_change.started" if reverts is None else "bulk_change.reverted"
    record(action, organisation, by=by, after={**wanted_in_audit(wanted), "environments": len(made)})
    enqueue_after_commit(RUN, job.pk)
    return job


def wanted_in_audit(wanted: Wanted) -> dict[str, object]:
    """Return the values to be set by the names that the audit log has words for."""
    found: dict[str, object] = {}
    if wanted.retention is not None:
        found |= {"archival": wanted.retention.archival, "archive_after_days": wanted.retention.days}
    if wanted.mfa is not None:
        found["require_mfa"] = wanted.mfa.value
    return found


# -- Run ---------------------------------------------------------------------------------------------


def run_bulk_change(job: BulkChange, *, seconds: float) -> bool:
    """Do environments that wait, for so many seconds; return whether more of them are left to do.

    Several workers share them: each environment is one transaction, which locks its row. Whoever finds none left ends
    the job: see ``end_bulk_change``. A worker that dies loses at most the environment that it was doing, which waits
    again.
    """
    end = time.monotonic() + seconds
    while do_next(job):
        if time.monotonic() > end:
            return True
    end_bulk_change(job)
    return False


@transaction.atomic
def do_next(job: BulkChange) -> bool:
    """Change the next environment that waits and no other worker has; return False if there is none.

    A refusal and an error are stored as its result, in the transaction of what it changed. An environment where the
    database gives up is tried three times, after the others.
    """
    waiting = job.items.filter(state=ItemState.WAITING).select_for_update(of=("self",), skip_locked=True)
    item = waiting.order_by("tries", "pk").first()
    if item is None:
        return False
    now = database_now()
    try:
        with transaction.atomic(), override("en"):
            change_environment(item, job, now=now)
    except Exception as error:  # whatever it is, it must not stop the others
        item.before, item.left, item.policy_change, item.mfa_change = {}, {}, None, None  # nothing of it is left
        _end_without_change(item, error)
    item.ended_at = None if item.state == ItemState.WAITING else now
    item.save()
    return True


def _end_without_change(item: BulkItem, error: Exception) -> None:
    """Set what became of an environment in which an error undid everything; it can be that it is tried again."""
    if isinstance(error, OperationalError | StalePreview):
        # Stale: another change was saved between the count and the lock.
        _try_again(item, error)
    elif isinstance(error, ChangedMeanwhile):
        item.state, item.reason = ItemState.UNCHANGED, CHANGED_SINCE
    elif isinstance(error, ValidationError):
        item.state, item.reason = ItemState.REFUSED, reason_of_refusal(error)[:255]
    elif isinstance(error, PermissionDenied):
        item.state, item.reason = ItemState.REFUSED, str(error)[:255] or NOT_ALLOWED
    else:
        _fail(item, error)


def _try_again(item: BulkItem, error: Exception) -> None:
    item.tries += 1
    if item.tries >= MOST_TRIES:
        _fail(item, error)


def _fail(item: BulkItem, error: Exception) -> None:
    logger.error("Environment %s of bulk change %s failed: %s.", item.environment_id, item.job_id, name_of(error))
    item.state, item.reason = ItemState.FAILED, BROKEN


def change_environment(item: BulkItem, job: BulkChange, *, now: datetime) -> None:
    """Set what is wanted in the environment of an item by the services of one change, and write down the result.

    All of it or nothing: raises the errors of the services, ``ValidationError`` for an environment that is gone or
    suspended, and ``PermissionDenied`` if the person who started the job lost the permission.
    """
    environment = Organisation.objects.environments().filter(pk=item.environment_id).first()
    if environment is None:
        raise ValidationError(GONE)
    by = caller_in(job, environment)
    wanted = Wanted.from_json(item.wanted).at(now)
    is_reversal = job.reverts_id is not None
    versions = versions_left(job, environment) if is_reversal else {}
    if not is_reversal:
        wanted = wanted.in_environment(environment)
    states = []
    if wanted.retention is not None:
        states.append(_change_retention(item, environment, wanted, by=by, now=now, seen=versions.get(RETENTION)))
    if wanted.mfa is not None:
        states.append(_change_mfa(item, environment, wanted, by=by, now=now, seen=versions.get(MFA)))
    order = (ItemState.PENDING, ItemState.CHANGED, ItemState.UNCHANGED)
    item.state = min(states, key=order.index, default=ItemState.UNCHANGED)


def caller_in(job: BulkChange, environment: Organisation) -> Caller:
    """Return the person who started the job, if they can still change advanced settings in the environment.

    Raises ``PermissionDenied`` if not, and ``ValidationError`` if it is suspended and they are no super user.
    """
    person = User.objects.filter(
        pk=job.requested_by_id or 0, is_active=True
    ).first()  # the job lasts longer than a request
    if person is None:
        raise PermissionDenied(NOT_ALLOWED)
    by = Caller.of(person)
    if Permission.CHANGE_ADVANCED_SETTINGS not in permissions_in(by, environment):
        raise PermissionDenied(NOT_ALLOWED)
    if environment.is_suspended and not by.is_superuser:
        raise ValidationError(SUSPENDED)
    return by


def _change_retention(
    item: BulkItem, environment: Organisation, wanted: Wanted, *, by: Caller, now: datetime, seen: str | None
) -> ItemState:
    to = wanted.retention
    assert to is not None
    waits = pending_change(PolicyChange, environment)
    change = change_retention(
        environment,
        to=to,
        by=by,
        now=now,
        starts_at=wanted.retention_from,
        seen=seen,
        typed_name=environment.name if item.job.deletes_at_once else None,
        announce=False,
    )
    if change is None or (change == waits and change.is_pending):
        return ItemState.UNCHANGED
    before = change.before
    own = Retention(before["archival"], before["archive_after_days"], before["locked"])
    item.policy_change = change
    if change.state != ChangeState.REPLACED:  # else only a change that waited was ended
        item.before[RETENTION] = retention_as_json(own)
        pending = change if change.is_pending else None
        item.left[RETENTION] = version_of(state_of(own if pending else to, pending))
    return ItemState.PENDING if change.is_pending else ItemState.CHANGED


def _change_mfa(
    item: BulkItem, environment: Organisation, wanted: Wanted, *, by: Caller, now: datetime, seen: str | None
) -> ItemState:
    to = wanted.mfa
    assert to is not None
    lock_policies()
    environment.refresh_from_db()
    own, waits = MfaRule.of(environment), pending_change(MfaChange, environment)
    if wanted.mfa_from is not None:
        change = schedule_mfa(environment, to=to, acts_at=wanted.mfa_from, by=by, now=now, seen=seen, announce=False)
        if change is None or change == waits:
            return ItemState.UNCHANGED
        item.mfa_change = change
        item.before[MFA], item.left[MFA] = mfa_as_json(own), version_of(state_of(own, change))
        return ItemState.PENDING
    if not set_require_mfa(environment, to=to, by=by, now=now, seen=seen, announce=False):
        return ItemState.UNCHANGED
    if own == to:
        item.mfa_change = waits  # only a schedule was ended
    else:
        item.before[MFA], item.left[MFA] = mfa_as_json(own), version_of(state_of(to, None))
    return ItemState.CHANGED


def versions_left(job: BulkChange, environment: Organisation) -> dict[str, str]:
    """Return the version of each setting that the reverted job left in the environment, by setting.

    A change that waited and has taken effect since left its own value, with nothing pending.
    """
    item = BulkItem.objects.select_related("policy_change", "mfa_change").get(
        job=job.reverts_id, environment=environment
    )
    versions: dict[str, str] = dict(item.left)
    if item.policy_change is not None and item.policy_change.state == ChangeState.APPLIED:
        versions[RETENTION] = version_of(state_of(item.policy_change.retention, None))
    if item.mfa_change is not None and item.mfa_change.state == ScheduleState.APPLIED:
        versions[MFA] = version_of(state_of(MfaRule.on(locked=item.mfa_change.locked), None))
    return versions


@transaction.atomic
def end_bulk_change(job: BulkChange) -> bool:
    """End a job in which no environment waits: one mail to each person concerned, and an event; return whether it did.

    Keys of people who now need a second factor are suspended in one go. Its pending changes take effect only after
    this, so that none does unannounced if a worker dies before.
    """
    running = BulkChange.objects.select_for_update(of=("self",), skip_locked=True).filter(pk=job.pk, ended_at=None)
    locked = running.first()
    if locked is None or locked.items.filter(state=ItemState.WAITING).exists():
        return False
    now = database_now()
    organisation = Organisation.objects.filter(pk=locked.organisation_id).first()
    if organisation is not None and locked.items.filter(state=ItemState.CHANGED, **{f"wanted__{MFA}__value": "on"}):
        review_keys(now=now, around=organisation)
    announce(locked, now=now)
    locked.ended_at = now
    locked.save(update_fields=["ended_at"])
    record("bulk_change.finished", organisation, by=None, after=count_states(locked))
    return True


def count_states(job: BulkChange) -> dict[str, int]:
    """Return how many environments are in each state, of those states that there are; one query."""
    return dict(job.items.order_by().values_list("state").annotate(Count("pk")))


def jobs_without_worker(*, now: datetime) -> list[int]:
    """Return the ids of running jobs in which no environment was done in the last half minute."""
    running = BulkChange.objects.filter(ended_at=None).annotate(latest=Coalesce(Max("items__ended_at"), "requested_at"))
    return list(running.filter(latest__lt=now - LOST_AFTER).order_by("pk").values_list("pk", flat=True))
