"""Erase one contact on request, with all their data in one environment, and leave a receipt."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from archival.choices import ExportEnd
from archival.exports.services import withdraw_exports
from archival.holds.services import is_held
from archival.journal import entries as journal
from archival.models import BlobToDelete, EnvironmentExport, Erasure
from audit.services import label_of, record
from conversations.models import Attachment, Blob, Contact, Conversation, ConversationVariable, Message
from environments.caller import Caller
from environments.policies.resolve import share_policies


def count_contact(contact: Contact) -> dict[str, int]:
    """Return how many rows and bytes erasing the contact would delete, by the kinds of a receipt."""
    return {**count_inside(contact.environment_id, contact=contact), "contacts": 1}


def count_inside(environment: int, *, contact: Contact | None = None) -> dict[str, int]:
    """Return how many conversations the environment or its contact has, and the rows and bytes in them."""
    mine = {} if contact is None else {"contact": contact}
    inside = {f"conversation__{field}": value for field, value in {"environment": environment, **mine}.items()}
    attachments = Attachment.objects.filter(environment=environment, **inside)
    stored = attachments.filter(blob__environment=environment)
    return {
        "conversations": Conversation.objects.filter(environment=environment, **mine).count(),
        "messages": Message.objects.filter(environment=environment, **inside).count(),
        "variables": ConversationVariable.objects.filter(environment=environment, **inside).count(),
        "attachments": attachments.count(),
        "bytes": stored.aggregate(bytes=Sum("blob__size", default=0))["bytes"],
    }


@transaction.atomic
def erase_contact(contact: Contact, *, by: Caller, now: datetime) -> Erasure:
    """Permanently delete the contact with all their conversations, and return the receipt.

    Does everything in one transaction; files are deleted through the outbox, and so are exports of the environment,
    which could have the contact's data; one that runs is stopped. The caller has shown ``count_contact`` and
    asked for step-up. Raises ``ValidationError`` and deletes nothing if a hold covers the contact, one of their
    conversations or the environment, and if the contact has been deleted already. A message that arrives meanwhile
    waits, and is then stored with a new contact.
    """
    share_policies()  # a hold is placed before or after this, never within
    # Locks in the order of ingest: conversations first, then their contact.
    environment = contact.environment_id
    theirs = Conversation.objects.filter(environment=environment, contact=contact)
    conversations = [each.pk for each in theirs.select_for_update().order_by("pk")]
    mine = Contact.objects.filter(environment=environment, pk=contact.pk)
    locked = mine.select_for_update(of=("self",)).select_related("environment").first()
    if locked is None:
        raise ValidationError(_("This contact has been deleted already."), code="gone")
    if theirs.exclude(pk__in=conversations).exists():
        raise ValidationError(
            _("A new conversation has just begun. Look at the new numbers and try again."), code="busy"
        )
    if is_held(locked.environment, now=now, contact=locked):
        raise ValidationError(
            _("A legal hold covers this contact, so nothing was erased. Release the hold first."), code="held"
        )
    counts = count_contact(locked)
    inside = {"environment": environment, "conversation__in": conversations}
    attached = Attachment.objects.filter(**inside).values("blob")
    BlobToDelete.objects.add(Blob.objects.filter(environment=environment, pk__in=attached).order_by("pk"), now=now)
    for model in (Attachment, Message, ConversationVariable):
        model._default_manager.filter(**inside)._raw_delete("default")
    theirs._raw_delete("default")
    mine._raw_delete("default")
    erasure = Erasure.objects.create(
        environment=locked.environment,
        environment_label=locked.environment.name,
        contact_uuid=locked.uuid,
        erased_at=now,
        erased_label=label_of(by),
        **counts,
    )
    exports = EnvironmentExport.objects.filter(environment=environment)
    withdraw_exports(exports, ExportEnd.ERASURE, by=by, now=now)
    record("contact.erased", locked.environment, by=by, subject=erasure, after=counts)
    journal.add_erasure_entry(erasure)
    return erasure
