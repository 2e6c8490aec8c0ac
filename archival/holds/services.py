"""Place and release legal holds, and find out what they cover."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from archival.holds.queries import holds_covering
from archival.journal import entries as journal
from archival.models import Hold
from audit.services import record
from conversations.models import Contact, Conversation
from environments.caller import Caller
from environments.models import Organisation
from environments.policies.resolve import lock_policies
from web.clock import LAST


@transaction.atomic
def place_hold(
    environment: Organisation,
    *,
    reason: str,
    contact: Contact | None = None,
    conversation: Conversation | None = None,
    until: datetime | None = None,
    by: Caller,
    now: datetime,
) -> Hold:
    """Place a hold on a conversation, on a contact with all their conversations, or on the whole environment.

    The hold ends at ``until`` (UTC), or when it is released. Waits for the purge's current batch; every later batch
    respects the hold. Raises ``ValidationError`` without a reason, for an end in the past, for both a contact and a
    conversation, and for a contact or conversation that is not in the environment.
    """
    if not reason.strip():
        raise ValidationError({"reason": _("Give a reason.")}, code="required")
    if until is not None and until <= now:
        raise ValidationError({"until": _("Choose a moment in the future.")}, code="past")
    if until is not None and until > LAST:
        raise ValidationError({"until": _("Choose a year before 9000.")}, code="too_far")
    if contact is not None and conversation is not None:
        raise ValidationError(_("Choose a contact or a conversation, not both."), code="both")
    lock_policies()
    for covered in (contact, conversation):
        if covered is not None:
            same = type(covered)._default_manager.select_for_update()
            if not same.filter(pk=covered.pk, environment=environment).exists():
                raise ValidationError(_("This contact or conversation has been deleted."), code="gone")
    hold = Hold.objects.create(
        environment=environment,
        contact=contact,
        conversation=conversation,
        reason=reason.strip()[:500],
        until=until,
        placed_at=now,
        placed_by=by.person,
    )
    record("hold.placed", environment, by=by, subject=hold, after=hold_as_json(hold))
    journal.add_hold_entry(hold)
    return hold


@transaction.atomic
def release_hold(hold: Hold, *, by: Caller, now: datetime) -> Hold:
    """Release and return a hold; the next run of the purge deletes what is past its limit.

    Raises ``ValidationError`` if the hold has ended.
    """
    lock_policies()
    mine = Hold.objects.filter(environment=hold.environment_id, pk=hold.pk)
    current = mine.select_for_update(of=("self",)).select_related("environment").get()
    if not current.is_active(now):
        raise ValidationError(_("This legal hold has ended already."), code="ended")
    current.released_at, current.released_by = now, by.person
    mine.update(released_at=now, released_by=by.person)
    record("hold.released", current.environment, by=by, subject=current, before=hold_as_json(current))
    journal.add_release_entry(current)
    return current


def hold_as_json(hold: Hold) -> dict[str, object]:
    """Return the fields of a hold that the audit log stores: ids and dates, never names or the reason."""
    return {"contact": hold.contact_id, "conversation": hold.conversation_id, "until": hold.until}


def is_held(
    environment: Organisation,
    *,
    now: datetime,
    contact: Contact | None = None,
    conversation: Conversation | None = None,
) -> bool:
    """Return whether an active hold covers the whole environment, this contact or this conversation; one query."""
    return holds_covering(environment, now=now, contact=contact, conversation=conversation).exists()
