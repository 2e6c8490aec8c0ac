"""Change how long data is kept: at once if that deletes nothing, after ``COOLING_OFF_HOURS`` if it does."""

import logging
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from archival.choices import ChangeState
from archival.engine.gaps import gap_before
from archival.journal import entries as journal
from archival.models import PolicyChange
from archival.policy import mail as change_mail
from archival.policy.previews import Preview, StalePreview, check_preview_token, check_same_effects, preview_change
from archival.policy.recount import preview_if_more, store_preview
from archival.policy.unsent import report_unsent_announcements, withdraw_announcements
from archival.policy.what_if import effects_of
from audit.services import label_of, record
from environments.audit_log.versions import check_version
from environments.caller import SYSTEM, Caller
from environments.models import Organisation
from environments.policies.field_errors import field_error
from environments.policies.resolve import lock_policies
from environments.policies.retention import Retention, check_retention, retention_as_json
from environments.policies.scheduled import (
    apply_each_due,
    end_change,
    lock_pending_change,
    pending_change,
    pending_changes,
    state_of,
)
from environments.policies.services import set_retention
from environments.tree import services as environments

logger = logging.getLogger(__name__)

FARTHEST_START = timedelta(days=3650)
PLACE_DELETED = gettext_noop("The organisation below which it was to go was deleted.")
REQUESTER_CANNOT = gettext_noop("Whoever asked for this move cannot make it any more.")
LOCKED_ABOVE = gettext_noop("A lock above no longer allows it.")  # stored in English, translated when it is shown


def change_retention(
    organisation: Organisation,
    *,
    to: Retention,
    by: Caller,
    now: datetime,
    at_once: bool = False,
    shown: str | None = None,
    starts_at: datetime | None = None,
    seen: str | None = None,
    typed_name: str | None = None,
    announce: bool = True,
) -> PolicyChange | None:
    """Set the organisation's own retention, now or later; return the change, or ``None`` if nothing would change.

    A change that would delete data stays pending until ``acts_at`` (UTC), at least ``COOLING_OFF_HOURS`` from now;
    ``at_once`` skips that wait (the caller has asked for step-up and confirmation). A change that would delete nothing
    takes effect at once. ``starts_at`` schedules it for a date. It replaces the organisation's pending change. Asking
    again for the change that is pending returns that one, and does not prolong its wait. ``shown`` is the ``token`` of
    the preview that the page showed. To leave the lock as it is, pass
    ``Retention.limit(30).with_lock_of(Retention.of(organisation))``. Without ``announce`` nobody is mailed: the caller
    announces the change together with others, and a pending one waits for that.

    Raises ``ValidationError`` if a lock above does not allow the change, and ``StalePreview`` if clearly more would be
    deleted than was shown, or if another change altered its effects meanwhile, and ``ChangedMeanwhile`` if value and
    pending change are not those whose version is ``seen``. Nothing is written then. Where ``COOLING_OFF_HOURS`` is 0, a
    change that would delete data at once needs the organisation's name as ``typed_name``.
    """
    check_retention(organisation, to, by=by)
    check_start_date(starts_at, now=now)
    preview = preview_change(organisation, to, now, starts_at=starts_at)
    if shown is not None and preview.is_tighter:
        check_preview_token(shown, preview)
    acts_at = when_to_act(preview, now=now, at_once=at_once, starts_at=starts_at)
    if preview.loses_something and acts_at <= now and not at_once:
        check_typed_name(typed_name, organisation)
    with transaction.atomic():
        lock_policies()
        organisation.refresh_from_db()
        if acts_at > now and (asked := same_pending_change(organisation, to, acts_at=acts_at, starts_at=starts_at)):
            return asked
        check_seen(organisation, to, seen)
        replaced = end_pending_change(organisation, ChangeState.REPLACED, by=by, now=now)
        change = draft_change(organisation, preview, acts_at=acts_at, by=by, now=now)
        if acts_at > now and to != Retention.of(organisation):
            return schedule_change(change, by=by, instead_of=replaced, announce=announce)
        check_same_effects(preview, effects_of(organisation, to))
        if not set_retention(organisation, to=to, by=by, now=now):
            announce_ends(replaced, announce=announce)
            return replaced  # the organisation has this retention already, so only the pending change ended
        journal.add_policy_entry(organisation, at=now)
        change.state, change.ended_at, change.ended_label = ChangeState.APPLIED, now, change.requested_label
        change.save()
        announce_ends(replaced, change, announce=announce)
        return change


def check_typed_name(typed: str | None, organisation: Organisation) -> None:
    """Raise ``ValidationError`` unless the organisation's name was typed, as a page shows it: any white space is one.

    ``None`` is a caller who was not asked for it.
    """
    if typed is None:
        text = _("This permanently deletes data at once. Give the display name of the organisation to confirm it.")
        raise field_error("typed_name", text, code="name_required")
    if typed.split() != organisation.name.split():
        raise field_error("typed_name", _("Type the name exactly as it is shown."), code="wrong_name")


def check_seen(organisation: Organisation, to: Retention, seen: str | None) -> None:
    """Raise ``ChangedMeanwhile`` if ``to`` replaces another value or pending change than was seen."""
    own, change = Retention.of(organisation), pending_change(PolicyChange, organisation)
    if own != to or change is not None:
        check_version(seen, state_of(own, change), organisation, "retention.")


def move_organisation(
    organisation: Organisation,
    *,
    to: Organisation | None,
    by: Caller,
    now: datetime,
    at_once: bool = False,
    shown: str | None = None,
    typed_name: str | None = None,
) -> PolicyChange | None:
    """Move the organisation below ``to`` (``None``: to the root), at once or, if data would be deleted there, later.

    Returns the pending ``PolicyChange`` of a later move; the organisation stays where it is until then. ``typed_name``
    is as in ``change_retention``. Raises ``ValidationError`` for a parent of the wrong kind or below the organisation
    itself, ``PermissionDenied`` unless ``by`` can create organisations both where it is and below ``to``, and
    ``StalePreview`` if another change alters the effects of the move while it is made, or if clearly more would be
    deleted than the preview whose ``token`` is ``shown`` has.
    """
    organisation.check_parent(to)
    preview = None if to is None else preview_change(organisation, Retention.of(organisation), now, new_parent=to)
    if shown is not None and preview is not None and preview.is_tighter:
        check_preview_token(shown, preview)
    acts_at = now if preview is None else when_to_act(preview, now=now, at_once=at_once, starts_at=None)
    if preview is not None and preview.loses_something and acts_at <= now and not at_once:
        check_typed_name(typed_name, organisation)
    with transaction.atomic():
        lock_policies()
        organisation.refresh_from_db()
        if to is not None:
            to.refresh_from_db()
        environments.check_can_move(organisation, to=to, by=by)
        if preview is None or acts_at <= now:
            if preview is not None:
                check_same_effects(preview, effects_of(organisation, Retention.of(organisation), new_parent=to))
            environments.move_organisation(organisation, to=to, by=by, now=now)
            journal.add_move_entry(organisation, to=to, at=now)
            return None
        replaced = end_pending_change(organisation, ChangeState.REPLACED, by=by, now=now)
        change = draft_change(organisation, preview, new_parent=to, acts_at=acts_at, by=by, now=now)
        return schedule_change(change, by=by, instead_of=replaced)


def draft_change(
    organisation: Organisation,
    preview: Preview,
    *,
    new_parent: Organisation | None = None,
    acts_at: datetime,
    by: Caller,
    now: datetime,
) -> PolicyChange:
    """Return an unsaved change to the retention of the preview, or, with a new parent, an unsaved move."""
    wanted = preview.to if new_parent is None else Retention.of(organisation)
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
        requested_by=by.person,
        requested_label=label_of(by),
        acts_at=acts_at,
    )
    store_preview(change, preview, now=now)
    return change


def schedule_change(
    change: PolicyChange, *, by: Caller, instead_of: PolicyChange | None, announce: bool = True
) -> PolicyChange:
    """Save a change that takes effect later, announce it by mail unless the caller does that later, and return it."""
    change.awaits_announcement = not announce
    change.save()
    record("retention.change_requested", change.organisation, by=by, before=change.before, after=change_as_json(change))
    announce_ends(instead_of, announce=announce)
    if announce:
        change_mail.announce_change(change)
    return change


def announce_ends(*changes: PolicyChange | None, announce: bool) -> None:
    """Announce by mail how changes ended; one that was replaced, once the change that replaces it is saved."""
    for change in changes:
        if announce and change is not None:
            change_mail.announce_end(change)


def when_to_act(preview: Preview, *, now: datetime, at_once: bool, starts_at: datetime | None) -> datetime:
    """Return when a change takes effect: after ``COOLING_OFF_HOURS`` if it deletes data, and not before its start."""
    must_wait = preview.loses_something and not at_once
    earliest = now + timedelta(hours=settings.COOLING_OFF_HOURS) if must_wait else now
    return max(earliest, starts_at or now)


def check_start_date(starts_at: datetime | None, *, now: datetime) -> None:
    """Raise ``ValidationError`` unless the start is in the next ten years, or ``None``, which means now."""
    if starts_at is not None and starts_at <= now:
        raise field_error("archival_from", _("Choose a moment in the future."), code="past")
    if starts_at is not None and starts_at > now + FARTHEST_START:
        raise field_error("archival_from", _("Choose a moment within ten years."), code="too_far")


def same_pending_change(
    organisation: Organisation, to: Retention, *, acts_at: datetime, starts_at: datetime | None
) -> PolicyChange | None:
    """Return the pending change if it sets the same retention by ``acts_at``, but not before ``starts_at``."""
    pending = pending_changes(PolicyChange).filter(organisation=organisation, new_parent=None)
    pending = pending.filter(acts_at__lte=acts_at, **({"acts_at__gte": starts_at} if starts_at else {}))
    return next((change for change in pending if change.retention == to), None)


def change_as_json(change: PolicyChange) -> dict[str, object]:
    """Return the fields of a change that the audit log stores."""
    return {
        **change.retention.as_json(),
        "acts_at": change.acts_at,
        "new_parent": change.new_parent and change.new_parent.slug,
        "would_delete": change.preview,
    }


@transaction.atomic
def cancel_pending_change(organisation: Organisation, *, by: Caller, now: datetime) -> PolicyChange | None:
    """Cancel the organisation's pending change and return it, or ``None`` if it has none."""
    lock_policies()
    return end_pending_change(organisation, ChangeState.CANCELLED, by=by, now=now)


def end_pending_change(
    organisation: Organisation, state: ChangeState, *, by: Caller, now: datetime
) -> PolicyChange | None:
    """End the organisation's pending change, if it has one, and return it; call after ``lock_policies()``."""
    change = pending_change(PolicyChange, organisation)
    return None if change is None else end_policy_change(change, state, by=by, now=now)


def end_changes_before_deletion(organisation: Organisation, *, by: Caller, now: datetime) -> None:
    """End the pending change of an organisation that is about to be deleted, and every pending move below it.

    Call after ``lock_policies()``.
    """
    end_pending_change(organisation, ChangeState.CANCELLED, by=by, now=now)
    moves = pending_changes(PolicyChange).filter(new_parent=organisation)
    for change in moves.select_related("organisation").order_by("pk"):
        end_policy_change(change, ChangeState.REFUSED, by=by, now=now, reason=PLACE_DELETED)


def end_policy_change(
    change: PolicyChange, state: ChangeState, *, by: Caller, now: datetime, reason: str = ""
) -> PolicyChange:
    """End a pending change, with its entries in journal and audit log and its mails, in the caller's transaction."""
    change.reason = reason[:255]
    end_change(change, state, by=by, now=now, also=["reason"])
    withdraw_announcements(change)
    journal.add_change_entry(change)
    if state != ChangeState.APPLIED:
        record(f"retention.change_{state}", change.organisation, by=by, before=change_as_json(change))
    if state != ChangeState.REPLACED:
        change_mail.announce_end(change)
    return change


def lock_pending_or_refuse(pk: int) -> PolicyChange:
    """Return the pending change, with its row locked until commit. Raises ``ValidationError`` if it is not pending."""
    current = lock_pending_change(PolicyChange, pk)
    if current is None:
        raise ValidationError(_("This change is no longer pending."), code="not_pending")
    return current


@transaction.atomic
def cancel_change(change: PolicyChange, *, by: Caller, now: datetime) -> PolicyChange:
    """Cancel a pending change, which has deleted nothing. Raises ``ValidationError`` if it is not pending."""
    lock_policies()
    return end_policy_change(lock_pending_or_refuse(change.pk), ChangeState.CANCELLED, by=by, now=now)


@transaction.atomic
def apply_change_now(change: PolicyChange, *, typed_name: str, by: Caller, now: datetime) -> PolicyChange:
    """Apply a pending change without waiting; the caller has asked for step-up.

    Raises ``ValidationError`` unless the organisation's name was typed, if the change is not pending, and if a lock
    above no longer allows it; ``StalePreview`` if it would delete more than was announced, until ``recount_change`` has
    announced that.
    """
    lock_policies()
    current = lock_pending_or_refuse(change.pk)
    check_typed_name(typed_name, current.organisation)
    if preview_if_more(current, now=now):
        raise StalePreview(_("By now more would be deleted than was announced. Look again."), code="stale_preview")
    carry_out(current, by=by, now=now)
    return end_policy_change(current, ChangeState.APPLIED, by=by, now=now)


@transaction.atomic
def recount_change(change: PolicyChange, *, now: datetime) -> PolicyChange:
    """Count again what a pending change would delete, announce it again if that is more, and return the change."""
    lock_policies()
    current = lock_pending_or_refuse(change.pk)
    if preview := preview_if_more(current, now=now):
        announce_change_again(current, preview, now=now)
    return current


def announce_change_again(change: PolicyChange, preview: Preview, *, now: datetime) -> None:
    """Store and announce the new counts of a pending change, and start its ``COOLING_OFF_HOURS`` again."""
    store_preview(change, preview, now=now)
    change.awaits_announcement = False
    change.save(update_fields=["preview", "announced", "counted_at", "awaits_announcement"])
    postpone_change(change, until=now + timedelta(hours=settings.COOLING_OFF_HOURS))
    change_mail.announce_change(change)


def postpone_change(change: PolicyChange, *, until: datetime) -> None:
    """Let a pending change wait until then, or longer if it does already; call after ``lock_policies()``."""
    change.acts_at = max(change.acts_at, until)
    change.save(update_fields=["acts_at"])
    record("retention.change_postponed", change.organisation, by=None, after=change_as_json(change))


def apply_due_changes(*, now: datetime) -> int:
    """Apply every pending change whose time has come, each in its own transaction; return how many were applied.

    A change that a lock above no longer allows ends as refused, with the reason. A change that would delete more than
    was announced, because of another change since, is announced again and waits again. A change that shortens a limit
    waits until its announcement has been sent to everybody who can cancel it, or was refused for good. A change that
    fails is logged and tried again the next time, the proof reports it as overdue, and the others go on. No change is
    applied while the purge waits for a person to confirm a gap in its runs.
    """
    if gap := gap_before(now):  # a clock that leapt would cut the wait short
        logger.error(gap.description)
        return 0
    report_unsent_announcements(now=now)
    return apply_each_due(PolicyChange, partial(apply_due_change, now=now), name="a limit", now=now)


@transaction.atomic
def apply_due_change(pk: int, *, now: datetime) -> bool:
    """Apply one change whose time has come, or refuse it, or start its wait again; return whether it was applied."""
    lock_policies()
    try:
        current = lock_pending_or_refuse(pk)
        preview = preview_if_more(current, now=now) if settings.COOLING_OFF_HOURS else None
    except ValidationError:
        return False  # another process ended it, or counting took too long and the next minute tries again
    if preview is not None:
        announce_change_again(current, preview, now=now)
        return False
    if current.waits_for_mail:
        return False
    try:
        with transaction.atomic():
            carry_out(current, by=Caller.of_requester(current.requested_by), now=now)
    except ValidationError as error:
        end_policy_change(current, ChangeState.REFUSED, by=SYSTEM, now=now, reason=reason_of_refusal(error))
        return False
    end_policy_change(current, ChangeState.APPLIED, by=SYSTEM, now=now)
    return True


def reason_of_refusal(error: ValidationError) -> str:
    """Return why a change was refused, without the name of the organisation whose lock forbids it.

    Not everybody who can change the setting can see that organisation.
    """
    found = [each for errors in error.error_dict.values() for each in errors] if hasattr(error, "error_dict") else []
    return LOCKED_ABOVE if any(each.code == "locked" for each in found) else " ".join(error.messages)


def check_requester_can_move(change: PolicyChange) -> None:
    """Raise ``ValidationError`` if whoever asked for a move has lost the permission for it, or their account."""
    requester = change.requested_by
    try:
        if requester is not None and not requester.is_active:
            raise PermissionDenied
        environments.check_can_move(change.organisation, to=change.new_parent, by=Caller.of_requester(requester))
    except PermissionDenied:
        raise ValidationError(REQUESTER_CANNOT) from None


def carry_out(change: PolicyChange, *, by: Caller, now: datetime) -> None:
    """Set the retention of a change, or make its move. Raises ``ValidationError`` if that is not allowed now.

    A move gives people access. So it is made only if whoever asked for it could ask for it now.
    """
    if change.new_parent is not None:
        check_requester_can_move(change)
        environments.move_organisation(change.organisation, to=change.new_parent, by=by, now=now)
        journal.add_move_entry(change.organisation, to=change.new_parent, at=now)
        return
    organisation = change.organisation
    organisation.refresh_from_db()
    if set_retention(organisation, to=change.retention, by=by, now=now):
        journal.add_policy_entry(organisation, at=now)
