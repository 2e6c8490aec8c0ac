"""A conversation as one line of the import format, in pieces."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import F, FilteredRelation, Q, QuerySet

from conversations.fields import to_json
from conversations.models import Attachment, Contact, Conversation, ConversationVariable, Message
from environments.models import Organisation


def line_of(
    conversation: Conversation,
    contact: dict[str, Any],
    *,
    messages: Iterable[dict[str, Any]],
    variables: Iterable[ConversationVariable],
    attachments: Iterable[dict[str, Any]],
) -> Iterator[str]:
    """Yield the conversation's line in pieces, so that memory does not grow with what is in it.

    Reads the messages before the attachments: what names a message is then never read before it.
    """
    head = {"id": conversation.external_id, "channel": conversation.channel, "contact": contact}
    yield to_json(head)[:-1] + ',"messages":['
    yield from separated(map(to_json, messages))
    yield '],"variables":{'
    yield from separated(f"{to_json(each.key)}:{to_json(each.value)}" for each in variables)
    yield '},"attachments":['
    yield from separated(map(to_json, attachments))
    yield "]}\n"


def separated(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the pieces with a comma before each but the first."""
    for number, piece in enumerate(pieces):
        yield f",{piece}" if number else piece


def contact_of(contact: Contact) -> dict[str, Any]:
    named = {"name": contact.name} if contact.name else {}
    return {"id": contact.external_id, "variables": contact.variables} | named


def message_of(message: Message, *, at: datetime) -> dict[str, Any]:
    author = {"author": message.author} if message.author else {}
    return {"role": message.role, "text": message.text, "seq": message.seq, "ts": at.isoformat()} | author


def with_files(attachments: QuerySet[Attachment], environment: Organisation) -> QuerySet[Any]:
    """Add ``blob_key``, ``blob_size`` and ``blob_sha256`` of its file, or ``None``s, to each attachment."""
    joined = attachments.alias(stored=FilteredRelation("blob", condition=Q(blob__environment=environment)))
    return joined.annotate(**{f"blob_{name}": F(f"stored__{name}") for name in ("key", "size", "sha256")})


def attachment_of(attachment: Any, media: str | None) -> dict[str, Any]:
    """Describe an attachment of ``with_files``; ``media`` is the name of its file, if it is exported."""
    described = {"name": attachment.name, "mime": attachment.mime, "size": attachment.size}
    if media is None:
        return described
    return described | {"size": attachment.blob_size, "sha256": attachment.blob_sha256, "media": media}
