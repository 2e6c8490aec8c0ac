"""What a purge must leave, worked out the slow way: every row looked at in Python, no statement of the purge used."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from archival.models import BlobToDelete, Hold
from conversations.models import Attachment, Blob, Contact, Conversation, ConversationVariable, Message
from environments.models import Organisation


@dataclass
class Rows:
    """Primary keys of what there is, and what was counted by environment."""

    messages: set[tuple[int, int, int]] = field(default_factory=set)
    variables: set[tuple[int, str, int]] = field(default_factory=set)
    attachments: set[int] = field(default_factory=set)
    conversations: set[int] = field(default_factory=set)
    contacts: set[int] = field(default_factory=set)
    outbox: set[int] = field(default_factory=set)
    receipts: dict[int, Counter[str]] = field(default_factory=dict)
    oldest: dict[int, datetime] = field(default_factory=dict)  # the oldest bound of what was due and not held


def present() -> Rows:
    """Read what is in the database now; receipts only where something was deleted or held."""
    return Rows(
        *(
            set(model.objects.values_list("pk", flat=True))
            for model in (Message, ConversationVariable, Attachment, Conversation, Contact)
        ),
        set(BlobToDelete.objects.values_list("blob_id", flat=True)),
    )


def expected(now: datetime) -> Rows:  # noqa: C901 - plain and long on purpose
    """Return what must be there after a purge at ``now`` of what is in the database, receipts included."""
    kept = Rows(outbox=set(BlobToDelete.objects.values_list("blob_id", flat=True)))
    environments = {each.pk: each for each in Organisation.objects.all()}
    cutoffs: dict[int, datetime | None] = {}
    for pk, environment in environments.items():
        days = environment.effective_archive_after_days
        cutoffs[pk] = None if days is None else now - timedelta(hours=24) * days
    holds = [
        hold for hold in Hold.objects.all() if hold.released_at is None and (hold.until is None or hold.until > now)
    ]
    whole = {hold.environment_id for hold in holds if not hold.contact_id and not hold.conversation_id}
    held_contacts = {hold.contact_id for hold in holds}
    held_conversations = {hold.conversation_id for hold in holds}
    sizes = dict(Blob.objects.values_list("pk", "size"))
    counted: dict[int, Counter[str]] = {}

    def count(environment: int, kind: str, much: int = 1) -> None:
        counted.setdefault(environment, Counter())[kind] += much

    def look_at(environment: int, at: datetime) -> None:
        kept.oldest[environment] = min(at, kept.oldest.get(environment, at))

    conversations = {each.pk: each for each in Conversation.objects.all()}
    alive: set[int] = set()
    for pk, each in conversations.items():
        cutoff = cutoffs[each.environment_id]
        is_held = each.environment_id in whole or each.contact_id in held_contacts or pk in held_conversations
        if is_held and cutoff and each.oldest_item_at < cutoff:
            count(each.environment_id, "held")
        if not is_held and cutoff and each.oldest_item_at < cutoff:
            look_at(each.environment_id, each.oldest_item_at)
        items = [("messages", item.pk, item.sent_at, item) for item in Message.objects.filter(conversation=each)]
        items += [("variables", item.pk, item.written_at, item) for item in each.variables.all()]
        items += [("attachments", item.pk, item.sent_at, item) for item in each.attachments.all()]
        has_left = False
        for kind, item_pk, at, item in items:
            if is_held or cutoff is None or at >= cutoff:
                getattr(kept, kind).add(item_pk)
                has_left = True
                continue
            count(each.environment_id, kind)
            if kind == "attachments" and item.blob_id:
                count(each.environment_id, "bytes", sizes[item.blob_id])
                kept.outbox.add(item.blob_id)
        if is_held or cutoff is None or has_left or each.last_activity_at >= cutoff:
            alive.add(pk)
        else:
            count(each.environment_id, "conversations")
    kept.conversations = alive
    busy = {conversations[pk].contact_id for pk in alive}
    for contact in Contact.objects.all():
        cutoff = cutoffs[contact.environment_id]
        stays = cutoff is None or contact.last_activity_at >= cutoff or contact.pk in busy
        if stays or contact.environment_id in whole or contact.pk in held_contacts:
            kept.contacts.add(contact.pk)
        else:
            count(contact.environment_id, "contacts")
            look_at(contact.environment_id, contact.last_activity_at)
    kept.receipts = {pk: +counts for pk, counts in counted.items() if +counts}
    return kept
