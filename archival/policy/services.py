"""Change how long data is kept: at once where nothing is lost by it, after a time to reconsider where something is."""

import logging
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from archival.choices import ChangeState
from archival.engine.gaps import gap_before
from archival.journal import entries as journal
from archival.models import PolicyChange
from archival.policy import announced
from archival.policy import mail as change_mail
from archival.policy.preview import Preview, StalePreview, check_shown, check_unchanged, preview_change
from archival.policy.unsent import alarm_of_unsent, withdraw_announcements
from archival.policy.what_if import effects
from audit.services import Actor, label_of, record
from environments.caller import person_of
from environments.models import Organisation
from environments.policies.refusals import refusal
from environments.policies.resolve import lock_policies
from environments.policies.retention import Retention, check_retention, retention_as_json
from environments.policies.scheduled import (
    apply_each_due,
    end_change,
    lock_pending_change,
    pending_change,
    pending_changes,
)
from environments.policies.services import set_retention
from environments.tree import services as environments

logger = logging.getLogger(__name__)

MOST_AHEAD = timedelta(days=3650)
PLACE_DELETED = gettext_noop("The organisation below which it was to go was deleted.")
LOCKED_ABOVE = gettext_noop("A lock above no longer allows it.")  # translated for whoever reads it


def change_retention(
    organisation: Organisation,
    *,
    to: Retention,
    by: Actor | None,
    now: datetime,
    at_once: bool = False,
    shown: str | None = None,
    starts_at: datetime | None = None,
) -> PolicyChange | None:
    """Keep conversation data of the organisation and all below it as long as this.

    Whoever leaves the lock as it is passes it along: ``Retention.limit(30).with_lock_of(Retention.of(organisation))``.
    Returns the change, or None where nothing would change: ``is_pending`` until ``acts_at`` (UTC) where data
    would go, else applied. ``COOLING_OFF_HOURS`` pass before anything is deleted; ``at_once`` skips them (the caller
    has asked for step-up and confirmation). Lengthening, and a limit that nothing will be too old for after that time,
    act at once.
    ``starts_at`` schedules the change for a date. A pending change of the same organisation is replaced; asking for the
    same once more returns it, so that asking twice does not prolong the wait.
    ``shown`` is the ``token`` of the preview that was shown.

    Raises ``ValidationError`` for what a lock above does not allow, and ``StalePreview`` if clearly more would go than
    was shown, or another change lets it mean something else. Nothing is written then.
    """
    check_retention(organisation, to, by=by)
    check_start(starts_at, now=now)
    going = preview_change(organisation, to, now, starts_at=starts_at)
    if shown is not None and going.is_tighter:
        check_shown(shown, going)
    acts_at = time_to_act(going, now=now, at_once=at_once, starts_at=starts_at)
    with transaction.atomic():
        lock_policies()
        organisation.refresh_from_db()
        if acts_at > now and (asked := asked_already(organisation, to, acts_at=acts_at, starts_at=starts_at)):
            return asked
        replaced = end_pending(organisation, ChangeState.REPLACED, by=by, now=now)
        change = draft(organisation, going, acts_at=acts_at, by=by, now=now)
        if acts_at > now and to != Retention.of(organisation):
            return let_wait(change, by=by, instead_of=replaced)
        check_unchanged(going, effects(organisation, to))
        if not set_retention(organisation, to=to, by=by, now=now):
            announce_replaced(replaced)
            return replaced  # back to what holds already: as good as cancelled
        journal.add_policy_entry(organisation, at=now)
        change.state, change.ended_at, change.ended_label = ChangeState.APPLIED, now, change.requested_label
        change.save()
        announce_replaced(replaced)
        change_mail.announce_end(change)
        return change


def move_organisation(
    organisation: Organisation, *, to: Organisation | None, by: Actor | None, now: datetime, at_once: bool = False
) -> PolicyChange | None:
    """Put the organisation below ``to`` (None: at the root), at once or, where a stricter limit awaits it there, later.

    Returns the pending ``PolicyChange`` if data would go by it: until it acts, the organisation stays where it is.
    Raises ``ValidationError`` for a place of the wrong rank and for one below itself, and ``StalePreview`` if another
    change lets the move mean something else while it is made.
    """
    organisation.check_parent(to)
    going = None if to is None else preview_change(organisation, Retention.of(organisation), now, new_parent=to)
    acts_at = now if going is None else time_to_act(going, now=now, at_once=at_once, starts_at=None)
    if going is None or acts_at <= now:
        with transaction.atomic():
            lock_policies()
            if to is not None and going is not None:
                organisation.refresh_from_db()
                to.refresh_from_db()
                check_unchanged(going, effects(organisation, Retention.of(organisation), new_parent=to))
            environments.move_organisation(organisation, to=to, by=by, now=now)
            journal.add_move_entry(organisation, to=to, at=now)
        return None
    with transaction.atomic():
        lock_policies()
        organisation.refresh_from_db()
        replaced = end_pending(organisation, ChangeState.REPLACED, by=by, now=now)
        change = draft(organisation, going, new_parent=to, acts_at=acts_at, by=by, now=now)
        return let_wait(change, by=by, instead_of=replaced)


def draft(
    organisation: Organisation,
    going: Preview,
    *,
    new_parent: Organisation | None = None,
    acts_at: datetime,
    by: Actor | None,
    now: datetime,
) -> PolicyChange:
    """Return a change to what was counted, or, with a new parent, a move; it is not saved yet."""
    wanted = going.to if new_parent is None else Retention.of(organisation)
    change = PolicyChange(
        archival=wanted.archival,
        days=wanted.days,
        locked=wanted.locked,
        new_parent=new_parent,
        organisation=organisation,
        organisation_label=organisation.name,
        new_parent_label=new_parent.name if new_parent else "",
        before=retention_as_json(organisation),
        requested_at=now,
        requested_by=person_of(by),
        requested_label=label_of(by),
        acts_at=acts_at,
    )
    announced.note(change, going, now=now)
    return change


def let_wait(change: PolicyChange, *, by: Actor | None, instead_of: PolicyChange | None) -> PolicyChange:
    """Save a change that acts later, and mail those who have permission to change the setting."""
    change.save()
    record("retention.change_requested", change.organisation, by=by, before=change.before, after=change_as_json(change))
    announce_replaced(instead_of)
    change_mail.announce_change(change)
    return change


def announce_replaced(change: PolicyChange | None) -> None:
    """Mail those whom a change concerned that another took its place, once that one is saved."""
    if change is not None:
        change_mail.announce_end(change)


def time_to_act(going: Preview, *, now: datetime, at_once: bool, starts_at: datetime | None) -> datetime:
    """Return when a change acts: after the time to reconsider where something goes, and not before its start."""
    must_wait = going.loses_something and not at_once
    earliest = now + timedelta(hours=settings.COOLING_OFF_HOURS) if must_wait else now
    return max(earliest, starts_at or now)


def check_start(starts_at: datetime | None, *, now: datetime) -> None:
    """Raise ``ValidationError`` for a start that is not in the future, or beyond ten years; None is at once."""
    if starts_at is not None and starts_at <= now:
        raise refusal("archival_from", _("Choose a moment in the future."), code="past")
    if starts_at is not None and starts_at > now + MOST_AHEAD:
        raise refusal("archival_from", _("Choose a moment within ten years."), code="too_far")


def asked_already(
    organisation: Organisation, to: Retention, *, acts_at: datetime, starts_at: datetime | None
) -> PolicyChange | None:
    """Return the pending change if it is to the same, and acts no later than a new one would nor before its date."""
    pending = pending_changes(PolicyChange).filter(organisation=organisation, new_parent=None)
    pending = pending.filter(acts_at__lte=acts_at, **({"acts_at__gte": starts_at} if starts_at else {}))
    return next((change for change in pending if change.retention == to), None)


def change_as_json(change: PolicyChange) -> dict[str, object]:
    """Return what an audit line tells of a change."""
    return {
        "archival": change.archival,
        "archive_after_days": change.days,
        "locked": change.locked,
        "acts_at": change.acts_at,
        "new_parent": change.new_parent and change.new_parent.slug,
        "would_delete": change.preview,
    }


@transaction.atomic
def cancel_pending(organisation: Organisation, *, by: Actor | None, now: datetime) -> PolicyChange | None:
    """Cancel whatever is pending for the organisation and return it; None where nothing is."""
    lock_policies()
    return end_pending(organisation, ChangeState.CANCELLED, by=by, now=now)


def end_pending(
    organisation: Organisation, state: ChangeState, *, by: Actor | None, now: datetime
) -> PolicyChange | None:
    """End the organisation's pending change, if it has one, and return it; call after ``lock_policies()``."""
    change = pending_change(PolicyChange, organisation)
    return None if change is None else end_policy_change(change, state, by=by, now=now)


def end_for_deletion(organisation: Organisation, *, by: Actor | None, now: datetime) -> None:
    """End what is pending for an organisation that is about to be deleted, and every move to a place below it.

    Call after ``lock_policies()``.
    """
    end_pending(organisation, ChangeState.CANCELLED, by=by, now=now)
    moves = pending_changes(PolicyChange).filter(new_parent=organisation)
    for change in moves.select_related("organisation").order_by("pk"):
        end_policy_change(change, ChangeState.REFUSED, by=by, now=now, reason=PLACE_DELETED)


def end_policy_change(
    change: PolicyChange, state: ChangeState, *, by: Actor | None, now: datetime, reason: str = ""
) -> PolicyChange:
    """End a pending change, and tell how in the journal, the audit log and by mail; in the caller's transaction."""
    change.reason = reason[:255]
    end_change(change, state, by=by, now=now, also=["reason"])
    withdraw_announcements(change)
    journal.add_change_entry(change)
    if state != ChangeState.APPLIED:
        record(f"retention.change_{state}", change.organisation, by=by, before=change_as_json(change))
    if state != ChangeState.REPLACED:
        change_mail.announce_end(change)
    return change


def still_pending(pk: int) -> PolicyChange:
    """Return the change as it is now, locked until commit. Raises ``ValidationError`` if it ended meanwhile."""
    current = lock_pending_change(PolicyChange, pk)
    if current is None:
        raise ValidationError(_("This change is no longer pending."), code="not_pending")
    return current


@transaction.atomic
def cancel_change(change: PolicyChange, *, by: Actor | None, now: datetime) -> PolicyChange:
    """Cancel a pending change; nothing was deleted by it. Raises ``ValidationError`` if it is not pending."""
    lock_policies()
    return end_policy_change(still_pending(change.pk), ChangeState.CANCELLED, by=by, now=now)


@transaction.atomic
def apply_change_now(change: PolicyChange, *, typed_name: str, by: Actor | None, now: datetime) -> PolicyChange:
    """Apply a pending change without waiting; the caller has asked for step-up.

    Raises ``ValidationError`` unless the organisation's name was typed, if the change is not pending, and if a lock
    above no longer allows it; ``StalePreview`` if more would go by now than the change says: ``look_again`` first.
    """
    lock_policies()
    current = still_pending(change.pk)
    if typed_name.strip() != current.organisation.name:
        raise ValidationError({"typed_name": _("Type the name exactly as it is shown.")}, code="wrong_name")
    if announced.outgrown(current, now=now):
        raise StalePreview(_("By now more would be deleted than was announced. Look again."), code="stale_preview")
    act(current, by=by, now=now)
    return end_policy_change(current, ChangeState.APPLIED, by=by, now=now)


@transaction.atomic
def look_again(change: PolicyChange, *, now: datetime) -> PolicyChange:
    """Count anew what a pending change would delete, and announce it again if that is more; return it as it is now."""
    lock_policies()
    current = still_pending(change.pk)
    if going := announced.outgrown(current, now=now):
        announce_again(current, going, now=now)
    return current


def announce_again(change: PolicyChange, going: Preview, *, now: datetime) -> None:
    """Let a change wait for the whole time to reconsider once more, with what would go by it now."""
    announced.note(change, going, now=now)
    change.acts_at = max(change.acts_at, now + timedelta(hours=settings.COOLING_OFF_HOURS))
    change.save(update_fields=["preview", "announced", "counted_at", "acts_at"])
    record("retention.change_postponed", change.organisation, by=None, after=change_as_json(change))
    change_mail.announce_change(change)


def apply_due_changes(*, now: datetime) -> int:
    """Apply every pending change whose time has come, each in a transaction of its own; returns how many.

    One that is no longer allowed (a lock above is stricter by now) ends as refused, with the reason. One by which more
    would go than was announced, because of another change since, is announced again and waits anew. One that shortens
    something waits until its announcement has left, or was refused for good, for all who can cancel it. One that fails
    is logged and waits for the next time, and the proof says that it should have acted; the others act. None is applied
    while the purge waits for a person to confirm a gap in its runs.
    """
    if gap := gap_before(now):  # a clock that leapt would cut the time to reconsider short
        logger.error(gap.description)
        return 0
    alarm_of_unsent(now=now)
    return apply_each_due(PolicyChange, partial(apply_due, now=now), name="a limit", now=now)


@transaction.atomic
def apply_due(pk: int, *, now: datetime) -> bool:
    """Apply one change whose time has come, refuse it, or let it wait anew; return whether it was applied."""
    lock_policies()
    try:
        current = still_pending(pk)
        going = announced.outgrown(current, now=now) if settings.COOLING_OFF_HOURS else None
    except ValidationError:
        return False  # somebody was quicker, or counting took too long: the next time
    if going is not None:
        announce_again(current, going, now=now)
        return False
    if current.waits_for_mail:
        return False
    try:
        with transaction.atomic():
            act(current, by=current.requested_by, now=now)
    except ValidationError as error:
        end_policy_change(current, ChangeState.REFUSED, by=None, now=now, reason=why_refused(error))
        return False
    end_policy_change(current, ChangeState.APPLIED, by=None, now=now)
    return True


def why_refused(error: ValidationError) -> str:
    """Return the reason as those who may change the setting read it: not all of them may know who locks it above."""
    found = [each for errors in error.error_dict.values() for each in errors] if hasattr(error, "error_dict") else []
    return LOCKED_ABOVE if any(each.code == "locked" for each in found) else " ".join(error.messages)


def act(change: PolicyChange, *, by: Actor | None, now: datetime) -> None:
    """Set what a change is to, or move the organisation. Raises ``ValidationError`` where that is not allowed now."""
    if change.new_parent is not None:
        environments.move_organisation(change.organisation, to=change.new_parent, by=by, now=now)
        journal.add_move_entry(change.organisation, to=change.new_parent, at=now)
        return
    organisation = change.organisation
    organisation.refresh_from_db()
    if set_retention(organisation, to=change.retention, by=by, now=now):
        journal.add_policy_entry(organisation, at=now)
