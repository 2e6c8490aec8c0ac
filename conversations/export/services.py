"""Export the readable data of a contact as a zip file, in the import format, with its files."""

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import IO, Any

from django.core.files.storage import default_storage
from django.db.models import QuerySet

from audit.services import record
from conversations.export.lines import attachment_of, contact_of, line_of, message_of, with_files
from conversations.models import Attachment, Contact, Conversation, ConversationVariable, Message
from environments.caller import Caller
from web.spreadsheets import csv_lines

IN_MEMORY = 8 * 1024 * 1024  # bytes; what is larger waits on disk until it is sent
_unsafe = re.compile(r"[\x00-\x1f\x7f-\x9f/\\:*?\"<>|\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def export_contact(contact: Contact, *, now: datetime, by: Caller) -> IO[bytes]:
    """Return an open zip file with the data of the contact that is readable at ``now``, and record the export.

    ``contact.json`` has the contact, ``conversations.jsonl`` their conversations in the import format, ``media/`` the
    files, and ``messages.csv`` the messages for a spreadsheet. No copy is kept; the caller closes the file.

    The zip file is complete before the first byte is sent: if storage or the database fails half-way, people get an
    error instead of a partial file, and no export is recorded. It takes at most ``IN_MEMORY`` bytes of memory.
    """
    packed: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the caller closes it
    conversations = Conversation.objects.readable(now, environment=contact.environment).filter(contact=contact)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("contact.json", json.dumps(profile(contact), ensure_ascii=False, indent=2))
        with archive.open("conversations.jsonl", "w", force_zip64=True) as lines:
            for conversation in conversations.order_by("pk").iterator():
                for piece in line_of_contact(conversation, contact, now):
                    lines.write(piece.encode())
        with archive.open("messages.csv", "w", force_zip64=True) as opened:
            write_messages(opened, contact, now)
        write_files(archive, contact, now)
    packed.seek(0)
    record("contact.exported", contact.environment, by=by, after={"contact": str(contact.uuid)})  # never their name
    return packed


def profile(contact: Contact) -> dict[str, Any]:
    return {
        "id": contact.external_id,
        "name": contact.name,
        "variables": contact.variables,
        "first_seen_at": contact.created_at.isoformat(),
        "last_activity_at": contact.last_activity_at.isoformat(),
    }


def line_of_contact(conversation: Conversation, contact: Contact, now: datetime) -> Iterator[str]:
    """Yield the conversation's line; a message has the instant that its sender claimed."""
    environment, mine = contact.environment, {"conversation": conversation}
    messages = Message.objects.readable(now, environment=environment).filter(**mine).order_by("seq").iterator()
    return line_of(
        conversation,
        contact_of(contact),
        messages=(message_of(each, at=(each.claimed_at or each.sent_at).astimezone(UTC)) for each in messages),
        variables=ConversationVariable.objects.readable(now, environment=environment).filter(**mine).order_by("key"),
        attachments=(
            attachment_of(each, media_name(each) if each.blob_id else None)
            for each in files_of(contact, now).filter(**mine)
        ),
    )


def safe_name(label: str) -> str:
    """Make a file name for a download from a label: no path, nothing invisible that turns it around, never hidden."""
    return _unsafe.sub("_", label).strip(". ") or "attachment"


def media_name(attachment: Attachment) -> str:
    """Return the file's name in the folder ``media``: its id and its own name, made safe."""
    end = safe_name(attachment.name).encode()[-100:]  # a file system counts bytes, at most 255
    return f"{attachment.pk}-{end.decode(errors='ignore')}"


def files_of(contact: Contact, now: datetime) -> QuerySet[Any]:
    """Return the attachments of the contact with their files."""
    readable = Attachment.objects.readable(now, environment=contact.environment).of_contact(contact)
    return with_files(readable, contact.environment).order_by("pk")


def write_files(archive: zipfile.ZipFile, contact: Contact, now: datetime) -> None:
    """Add the files to the archive; ``missing.txt`` lists those that storage does not have."""
    missing = []
    for attachment in files_of(contact, now).filter(blob__isnull=False).iterator():
        name = media_name(attachment)
        try:
            source = default_storage.open(attachment.blob_key)
        except FileNotFoundError:
            missing.append(name)
            continue
        with source, archive.open(f"media/{name}", "w", force_zip64=True) as target:
            shutil.copyfileobj(source, target)
    if missing:
        archive.writestr("missing.txt", "".join(f"{name}\n" for name in missing))


def write_messages(opened: IO[bytes], contact: Contact, now: datetime) -> None:
    messages = Message.objects.readable(now, environment=contact.environment).of_contact(contact)
    fields = ("conversation__external_id", "conversation__channel", "seq", "sent_at", "role", "author", "text")
    found = messages.order_by("conversation", "seq").values_list(*fields).iterator()
    rows = ([*start, at.isoformat(), role, author, text] for *start, at, role, author, text in found)
    for line in csv_lines(chain([["conversation", "channel", "seq", "sent_at", "role", "author", "text"]], rows)):
        opened.write(line.encode())
