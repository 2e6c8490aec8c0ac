"""Require MFA from a date: schedule it, take it back, apply it when its time has come, and remind people before."""

from datetime import datetime, timedelta
from functools import partial

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import mail
from accounts.models import User
from audit.services import label_of, record
from environments.caller import SYSTEM, Caller
from environments.choices import Reminder, ScheduleState
from environments.models import MfaChange, MfaReminder, Organisation
from environments.policies.mfa import MfaRule, mfa_as_json, refuse_to_loosen
from environments.policies.mfa_changes import about_reminders, change_as_json, end_mfa_change, tell_administrators
from environments.policies.mfa_reach import about_to_require, people_hit
from environments.policies.refusals import refusal
from environments.policies.resolve import lock_policies
from environments.policies.scheduled import apply_each_due, lock_pending_change, pending_change, pending_changes
from environments.policies.services import write_require_mfa
from web.alone import set_aside

A_WEEK, A_DAY = timedelta(days=7), timedelta(days=1)
MOST_AHEAD = timedelta(days=3650)
MOST_NAMED = 5


@transaction.atomic
def schedule_mfa(
    organisation: Organisation, *, to: MfaRule, acts_at: datetime, by: Caller, now: datetime
) -> MfaChange | None:
    """Let ``to``, which is on, hold from ``acts_at`` (aware) for the organisation and all below it.

    Replaces what was scheduled here before; returns the change, or None where the organisation says the same already.
    Members who will lack a factor are reminded, administrators are mailed. Raises ``ValidationError`` for another value
    than on and for an instant that is not in the future or beyond ten years, ``PermissionDenied`` where an
    organisation's own key would loosen by it: a later date, or no lock where there is one.
    """
    lock_policies()
    organisation.refresh_from_db()
    if not to.is_on:
        raise refusal("require_mfa_from", _("A date goes with on only."), code="invalid")
    if acts_at <= now:
        raise refusal("require_mfa_from", _("Choose a moment in the future."), code="past")
    if acts_at > now + MOST_AHEAD:
        raise refusal("require_mfa_from", _("Choose a moment within ten years."), code="too_far")
    own = MfaRule.of(organisation)
    if own == to:
        return None
    earlier = pending_change(MfaChange, organisation)
    if earlier is not None and (earlier.acts_at, earlier.locked) == (acts_at, to.locked):
        return earlier
    had_lock = own.locked or (earlier is not None and earlier.locked)
    is_later = earlier is not None and earlier.acts_at < acts_at
    if is_later or (had_lock and not to.locked):
        refuse_to_loosen(by)
    if earlier is not None:
        end_mfa_change(earlier, ScheduleState.REPLACED, by=by, now=now)
    change = MfaChange.objects.create(
        organisation=organisation,
        organisation_label=organisation.name,
        locked=to.locked,
        before=mfa_as_json(organisation),
        requested_at=now,
        requested_by=by.person,
        requested_label=label_of(by),
        acts_at=acts_at,
    )
    record("mfa_requirement.change_requested", organisation, by=by, before=change.before, after=change_as_json(change))
    tell_administrators(organisation, "scheduled", by=by, locked=to.locked, acts_at=acts_at.isoformat())
    return change


@transaction.atomic
def cancel_scheduled_mfa(organisation: Organisation, *, by: Caller, now: datetime) -> MfaChange:
    """Take back what is scheduled here; administrators are mailed.

    Raises ``ValidationError`` if nothing is scheduled any more, ``PermissionDenied`` for an organisation's own key.
    """
    lock_policies()
    change = pending_change(MfaChange, organisation)
    if change is None:
        raise ValidationError(_("This change is no longer pending."), code="not_pending")
    refuse_to_loosen(by)
    end_mfa_change(change, ScheduleState.CANCELLED, by=by, now=now)
    moments = {"at": now.isoformat(), "acts_at": change.acts_at.isoformat()}
    tell_administrators(organisation, "cancelled", by=by, **moments)
    return change


def apply_due_changes(*, now: datetime) -> int:
    """Switch on whatever is due, each in a transaction of its own; returns how many. Doing it twice is doing it once.

    It holds whoever asked for it may since have left: what was announced to people does not silently stay undone. One
    that fails is logged and tried again the next time; the others act.
    """
    return apply_each_due(MfaChange, partial(apply_change, now=now), name="Require MFA", now=now)


@transaction.atomic
def apply_change(pk: int, *, now: datetime) -> bool:
    lock_policies()
    change = lock_pending_change(MfaChange, pk)
    if change is None:
        return False  # somebody was quicker
    end_mfa_change(change, ScheduleState.APPLIED, by=SYSTEM, now=now)
    write_require_mfa(
        change.organisation,
        to=MfaRule.on(locked=change.locked),
        by=Caller.of_requester(change.requested_by),
        now=now,
        action="mfa_requirement.change_applied",
    )
    return True


def reminder_due(change: MfaChange, *, now: datetime) -> Reminder | None:
    """Return which reminder people should have by now: the first a week ahead (at once, where the date was nearer from
    the start), the last a day ahead (never, where the date was nearer than that). One that was missed is not made up.
    """
    last_at = change.acts_at - A_DAY
    if change.requested_at < last_at <= now:
        return Reminder.LAST
    return Reminder.FIRST if now >= change.acts_at - A_WEEK else None


def remind_members(*, now: datetime) -> int:
    """Mail everybody who will be hit and was not told yet; returns how many mails.

    Each mail has a row and a transaction of its own: two beats or a redelivered task send it once, and a worker that
    dies on the way goes on where it stopped. Whoever joins later is told when he joins.
    """
    coming = pending_changes(MfaChange).filter(acts_at__gt=now, acts_at__lte=now + A_WEEK)
    sent = 0
    for change in coming.select_related("organisation").order_by("acts_at", "pk"):
        which = reminder_due(change, now=now)
        if which is not None:
            told_already = MfaReminder.objects.filter(change=change, which=which).values("user")
            people = people_hit(change).exclude(pk__in=told_already).order_by("pk")
            for user in people.iterator():
                with set_aside(f"The reminder of user {user.pk}"):
                    sent += remind(change, user, which=which, now=now)
    return sent


@transaction.atomic
def remind(change: MfaChange, user: User, *, which: Reminder, now: datetime) -> bool:
    """Send ``user`` this reminder unless he had it, or the change is no longer pending."""
    still = MfaChange.objects.select_for_update(no_key=True).filter(pk=change.pk, state=ScheduleState.PENDING)
    if not still.exists():
        return False
    _row, is_new = MfaReminder.objects.get_or_create(change=change, user=user, which=which, defaults={"sent_at": now})
    if is_new:
        names = [one.name for one in about_to_require(user).filter(requires_from=change.acts_at)[: MOST_NAMED + 1]]
        facts = {"names": names[:MOST_NAMED], "has_more": len(names) > MOST_NAMED, "acts_at": change.acts_at}
        mail.send(user, "mfa_reminder", facts, about=f"{about_reminders(change)}{user.pk}")
    return is_new
