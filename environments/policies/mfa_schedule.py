"""Require MFA from a date: schedule, cancel and apply the change, and remind people before."""

from datetime import datetime, timedelta
from functools import partial

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import mail
from accounts.models import User
from audit.services import label_of, record
from environments.audit_log.versions import check_version
from environments.caller import SYSTEM, Caller
from environments.choices import Reminder, ScheduleState
from environments.models import MfaChange, MfaReminder, Organisation
from environments.policies.field_errors import field_error
from environments.policies.mfa import MfaRule, mfa_as_json, refuse_to_loosen
from environments.policies.mfa_changes import about_reminders, end_mfa_change, mail_mfa_news, mfa_change_as_json
from environments.policies.mfa_reach import people_who_will_lack_factor, soon_requiring
from environments.policies.resolve import lock_policies
from environments.policies.scheduled import (
    apply_each_due,
    lock_pending_change,
    pending_change,
    pending_changes,
    state_of,
)
from environments.policies.services import write_require_mfa
from web.alone import set_aside

A_WEEK, A_DAY = timedelta(days=7), timedelta(days=1)
MOST_AHEAD = timedelta(days=3650)
MOST_NAMED = 5


@transaction.atomic
def schedule_mfa(
    organisation: Organisation,
    *,
    to: MfaRule,
    acts_at: datetime,
    by: Caller,
    now: datetime,
    seen: str | None = None,
    announce: bool = True,
) -> MfaChange | None:
    """Schedule ``to``, which is on, for the organisation and everything below it from ``acts_at`` (aware).

    Replaces a change that was scheduled here; returns the change, or None if the organisation has this value already.
    Members who will lack a factor are reminded; administrators are mailed, unless the caller announces it later, as it
    does without ``announce``. Raises ``ValidationError`` for another value than on and for an instant that is not in
    the future or beyond ten years, ``PermissionDenied`` if an organisation's own key would loosen something: a later
    date, or no lock in place of one, and ``ChangedMeanwhile`` if value and schedule are not those whose version is
    ``seen``.
    """
    lock_policies()
    organisation.refresh_from_db()
    if not to.is_on:
        raise field_error("require_mfa_from", _("A date goes with on only."), code="invalid")
    if acts_at <= now:
        raise field_error("require_mfa_from", _("Choose a moment in the future."), code="past")
    if acts_at > now + MOST_AHEAD:
        raise field_error("require_mfa_from", _("Choose a moment within ten years."), code="too_far")
    own = MfaRule.of(organisation)
    if own == to:
        return None
    earlier = pending_change(MfaChange, organisation)
    if earlier is not None and (earlier.acts_at, earlier.locked) == (acts_at, to.locked):
        return earlier
    check_version(seen, state_of(own, earlier), organisation, "mfa_requirement.")
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
        awaits_announcement=not announce,
    )
    record(
        "mfa_requirement.change_requested", organisation, by=by, before=change.before, after=mfa_change_as_json(change)
    )
    if announce:
        mail_mfa_news(organisation, "scheduled", by=by, locked=to.locked, acts_at=acts_at.isoformat())
    return change


@transaction.atomic
def cancel_scheduled_mfa(organisation: Organisation, *, by: Caller, now: datetime) -> MfaChange:
    """Cancel the scheduled change of the organisation; administrators are mailed.

    Raises ``ValidationError`` if nothing is scheduled any more, ``PermissionDenied`` for an organisation's own key.
    """
    lock_policies()
    change = pending_change(MfaChange, organisation)
    if change is None:
        raise ValidationError(_("This change is no longer pending."), code="not_pending")
    refuse_to_loosen(by)
    end_mfa_change(change, ScheduleState.CANCELLED, by=by, now=now)
    moments = {"at": now.isoformat(), "acts_at": change.acts_at.isoformat()}
    mail_mfa_news(organisation, "cancelled", by=by, **moments)
    return change


def apply_due_changes(*, now: datetime) -> int:
    """Apply scheduled changes that are due, each in a transaction of its own; returns how many. Runs can overlap.

    A change is applied also if the person who scheduled it has left: it was announced. One that fails is logged and
    tried again the next time; the others are applied.
    """
    return apply_each_due(MfaChange, partial(apply_change, now=now), name="Require MFA", now=now)


@transaction.atomic
def apply_change(pk: int, *, now: datetime) -> bool:
    """Apply a scheduled change; returns False if it ended meanwhile, or was not announced yet."""
    lock_policies()
    change = lock_pending_change(MfaChange, pk)
    if change is None or change.awaits_announcement:
        return False
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
    """Return the reminder that people should have by now, or None.

    The first is due a week ahead, or at once for a nearer date; the last a day ahead, if the change was scheduled
    before that. A reminder that was missed is not sent later.
    """
    last_at = change.acts_at - A_DAY
    if change.requested_at < last_at <= now:
        return Reminder.LAST
    return Reminder.FIRST if now >= change.acts_at - A_WEEK else None


def remind_members(*, now: datetime) -> int:
    """Mail reminders to everybody who will need a second factor and has not had this one; returns how many mails.

    Each mail has a row and a transaction of its own, so that it is sent once, and a worker that died goes on where it
    stopped. People who join later are reminded after they join.
    """
    coming = pending_changes(MfaChange).filter(acts_at__gt=now, acts_at__lte=now + A_WEEK)
    sent = 0
    for change in coming.select_related("organisation").order_by("acts_at", "pk"):
        which = reminder_due(change, now=now)
        if which is not None:
            reminded = MfaReminder.objects.filter(change=change, which=which).values("user")
            people = people_who_will_lack_factor(change).exclude(pk__in=reminded).order_by("pk")
            for user in people.iterator():
                with set_aside(f"The reminder of user {user.pk}"):
                    sent += send_reminder(change, user, which=which, now=now)
    return sent


@transaction.atomic
def send_reminder(change: MfaChange, user: User, *, which: Reminder, now: datetime) -> bool:
    """Mail ``user`` this reminder, unless they had it or the change has ended; returns whether it was mailed."""
    pending = MfaChange.objects.select_for_update(no_key=True).filter(pk=change.pk, state=ScheduleState.PENDING)
    if not pending.exists():
        return False
    _row, is_new = MfaReminder.objects.get_or_create(change=change, user=user, which=which, defaults={"sent_at": now})
    if is_new:
        names = [one.name for one in soon_requiring(user).filter(requires_from=change.acts_at)]
        facts = {"names": names[:MOST_NAMED], "count": len(names), "acts_at": change.acts_at}
        mail.send(user, "mfa_reminder", facts, about=f"{about_reminders(change)}{user.pk}")
    return is_new
