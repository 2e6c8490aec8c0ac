"""Read which holds cover something, and what holds cover, as far as people can read it."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from archival.models import Hold, HoldQuerySet
from conversations.models import Contact, Conversation
from conversations.reading.queries import with_contact
from environments.models import Organisation


def holds_covering(
    environment: Organisation,
    *,
    now: datetime,
    contact: Contact | None = None,
    conversation: Conversation | None = None,
) -> HoldQuerySet:
    """Return the active holds on the whole environment, on this contact or on this conversation.

    For a contact, those on one of their conversations belong to them, as they keep the contact too.
    """
    active = Hold.objects.active(now).filter(environment=environment)
    covering = active.filter(contact=None, conversation=None)
    if contact is not None:
        theirs = Conversation.objects.filter(environment=environment, contact=contact)
        covering |= active.filter(contact=contact) | active.filter(conversation__in=theirs)
    if conversation is not None:
        covering |= active.filter(conversation=conversation) | active.filter(contact=conversation.contact_id)
    return covering


def readable_of(holds: Collection[Hold], environment: Organisation, *, now: datetime) -> dict[int, Any]:
    """Return what each hold covers, by the hold's id: a readable conversation with its contact, or a readable contact.

    Holds on the whole environment, and on what is past its limit or deleted, are left out. Costs two queries.
    """
    readable = Conversation.objects.readable(now, environment=environment)
    conversations = with_contact(readable, environment).in_bulk(
        [hold.conversation_id for hold in holds if hold.conversation_id]
    )
    contacts = (
        Contact.objects.readable(now, environment=environment)
        .defer("variables")
        .in_bulk([hold.contact_id for hold in holds if hold.contact_id])
    )
    covered = {hold.pk: conversations.get(hold.conversation_id) or contacts.get(hold.contact_id) for hold in holds}
    return {pk: each for pk, each in covered.items() if each is not None}
