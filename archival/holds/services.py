"""Legal holds: placed and released on somebody's behalf, and what they cover."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from archival.journal import entries as journal
from archival.models import Hold
from audit.services import Actor, record
from conversations.models import Contact, Conversation
from environments.caller import person_of
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
    by: Actor | None,
    now: datetime,
) -> Hold:
    """Hold a conversation, a contact with all its conversations, or else the whole environment, from now on.

    ``until`` (UTC) ends it by itself; None: until somebody releases it. It waits for the batch that the purge is in,
    and every later batch sees it. Raises ``ValidationError`` without a reason, for an end in the past, for both a
    contact and a conversation, and for what is not, or no longer, in the environment.
    """
    if not reason.strip():
        raise ValidationError({"reason": _("Say why.")}, code="required")
    if until is not None and until <= now:
        raise ValidationError({"until": _("Choose a moment in the future.")}, code="past")
    if until is not None and until > LAST:
        raise ValidationError({"until": _("Choose a year before 9000.")}, code="too_far")
    if contact is not None and conversation is not None:
        raise ValidationError(_("A hold covers a contact or a conversation, not both."), code="both")
    lock_policies()
    for covered in (contact, conversation):
        if covered is not None:
            same = type(covered)._default_manager.select_for_update()
            if not same.filter(pk=covered.pk, environment=environment).exists():
                raise ValidationError(_("It is not there any more."), code="gone")
    hold = Hold.objects.create(
        environment=environment,
        contact=contact,
        conversation=conversation,
        reason=reason.strip()[:500],
        until=until,
        placed_at=now,
        placed_by=person_of(by),
    )
    record("hold.placed", environment, by=by, subject=hold, after=told(hold))
    journal.note_hold(hold)
    return hold


@transaction.atomic
def release_hold(hold: Hold, *, by: Actor | None, now: datetime) -> Hold:
    """Release a hold: what is too old by then goes with the next purge. Raises ``ValidationError`` if it was."""
    lock_policies()
    current = Hold.objects.select_for_update(of=("self",)).select_related("environment").get(pk=hold.pk)
    if not current.is_active(now):
        raise ValidationError(_("This hold has ended already."), code="ended")
    current.released_at, current.released_by = now, person_of(by)
    current.save(update_fields=["released_at", "released_by"])
    record("hold.released", current.environment, by=by, subject=current, before=told(current))
    journal.note_release(current)
    return current


def told(hold: Hold) -> dict[str, object]:
    """Return what an audit line tells of a hold: ids, never whom or what it is about."""
    return {"contact": hold.contact_id, "conversation": hold.conversation_id, "until": hold.until}


def is_held(
    environment: Organisation,
    *,
    now: datetime,
    contact: Contact | None = None,
    conversation: Conversation | None = None,
) -> bool:
    """Tell whether a hold covers the whole environment, or this contact or conversation."""
    active = Hold.objects.active(now).filter(environment=environment)
    covering = active.filter(contact=None, conversation=None)
    if contact is not None:
        covering |= active.filter(contact=contact) | active.filter(conversation__contact=contact)
    if conversation is not None:
        covering |= active.filter(conversation=conversation) | active.filter(contact=conversation.contact_id)
    return covering.exists()
