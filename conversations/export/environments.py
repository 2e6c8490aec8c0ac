"""Export an environment in the import format: its readable conversations with their files, and its other contacts.

An export has ``conversations.jsonl`` and ``media/``, which ``import_conversations`` reads; ``contacts.jsonl`` with the
contacts that have no conversation any more; and ``manifest.json``, which is written last.
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, Final, Protocol, Self

from django.core.files.storage import default_storage
from django.db.models import Exists, OuterRef, Q, QuerySet

from audit.services import record
from conversations.export.lines import attachment_of, contact_of, line_of, message_of, with_files
from conversations.fields import to_json
from conversations.ingest.lines import LONGEST_LINE
from conversations.models import Attachment, Contact, Conversation, ConversationVariable, Message
from environments.models import Organisation

AT_ONCE: Final = 20  # rows in memory, each of which can have megabytes
KINDS: Final = ("conversations", "messages", "variables", "attachments", "contacts", "files", "bytes")
ITEMS: Final = (Message, ConversationVariable, Attachment)
MODELS: Final = dict(zip(KINDS, (Conversation, *ITEMS, Contact), strict=False))
CONVERSATIONS: Final = "conversations.jsonl"
CONTACTS: Final = "contacts.jsonl"
MANIFEST: Final = "manifest.json"
MEDIA: Final = "media"


@dataclass
class Place:
    """How far an export is: the ids after which it continues."""

    contact: int = 0  # of the last conversation: conversations are in the order of their contacts
    conversation: int = 0
    lone_contact: int = 0  # the last contact without conversations; these come after all conversations
    is_end: bool = False


@dataclass
class Part:
    """What one archive of an export has."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    files: dict[str, bool] = field(default_factory=dict)  # by SHA-256: whether storage has it
    described: set[int] = field(default_factory=set)  # the latest contacts whose name and variables are in a line
    too_long: list[str] = field(default_factory=list)  # ids of conversations whose lines are too long to be imported
    size: int = 0  # bytes written, before they are compressed

    @property
    def missing(self) -> list[str]:
        """The SHA-256 of each file that storage does not have."""
        return sorted(sha256 for sha256, is_there in self.files.items() if not is_there)


class Archive(Protocol):
    """Where a part is written."""

    conversations: IO[bytes]
    contacts: IO[bytes]

    def add_file(self, name: str, source: IO[bytes]) -> None: ...


def write_part(
    environment: Organisation,
    archive: Archive,
    place: Place,
    *,
    now: datetime,
    is_full: Callable[[Part], bool] = lambda part: False,
) -> Part:
    """Write what is readable at ``now`` after ``place``, until ``is_full`` or everything is written; moves ``place``.

    Every conversation is in exactly one part, with all its files, so that each part can be imported by itself. Memory
    does not grow with the environment, nor with what is in a conversation. ``is_full`` is asked after every few
    conversations. Raises what storage raises; a file that is not there is only listed as missing.
    """
    part = Part()
    while conversations := _next_conversations(environment, place, now):
        _write_conversations(environment, conversations, archive, part, place, now)
        if is_full(part):
            return part
    while contacts := _next_lone_contacts(environment, place, now):
        for contact in contacts:
            part.size += archive.contacts.write(f"{to_json(contact_of(contact))}\n".encode())
        part.counts["contacts"] += len(contacts)
        place.lone_contact = contacts[-1].pk
        if is_full(part):
            return part
    place.is_end = True
    return part


def export_to_folder(environment: Organisation, path: Path, *, now: datetime) -> Part:
    """Write the environment to a new folder, record that, and return what was written; an error leaves no folder."""
    place = Place()
    try:
        with FolderArchive(path) as archive:
            part = write_part(environment, archive, place, now=now)
            archive.finish(manifest_of(part, environment, now=now, number=1, is_last=True))
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    record("environment.exported", environment, by=None, after=part.counts)
    return part


def manifest_of(part: Part, environment: Organisation, *, now: datetime, number: int, is_last: bool) -> dict[str, Any]:
    """Return what ``manifest.json`` says: whose data it is, as of when, how much, and what is not in it."""
    cutoff = environment.cutoff(now)
    return {
        "environment": environment.name,
        "short_name": environment.slug,
        "part": number,
        "is_last_part": is_last,
        "read_at": now.astimezone(UTC).isoformat(),
        "cutoff": cutoff and cutoff.astimezone(UTC).isoformat(),
        "counts": part.counts,
        "missing_files": part.missing,
        "too_long_to_import": part.too_long,
    }


def count_readable(
    environment: Organisation, *, now: datetime, kinds: Collection[str] = tuple(MODELS)
) -> dict[str, int]:
    """Return how many rows of these kinds can be read at ``now``; one query for each kind."""
    counts = {}
    for kind in kinds:
        model: Any = MODELS[kind]
        readable = model.objects.readable(now, environment=environment)
        if model in ITEMS:
            readable = readable.filter(conversation__environment=environment)
        counts[kind] = readable.count()
    return counts


def _next_conversations(environment: Organisation, place: Place, now: datetime) -> list[Conversation]:
    after = Q(contact__gt=place.contact) | Q(pk__gt=place.conversation)
    readable = Conversation.objects.readable(now, environment=environment).filter(after, contact__gte=place.contact)
    with_contact = readable.filter(contact__environment=environment).select_related("contact")
    return list(with_contact.order_by("contact_id", "pk")[:AT_ONCE])


def _next_lone_contacts(environment: Organisation, place: Place, now: datetime) -> list[Contact]:
    theirs = Conversation.objects.readable(now, environment=environment).filter(contact=OuterRef("pk"))
    readable = Contact.objects.readable(now, environment=environment).filter(~Exists(theirs))
    return list(readable.filter(pk__gt=place.lone_contact).order_by("pk")[:AT_ONCE])


def _write_conversations(
    environment: Organisation,
    conversations: list[Conversation],
    archive: Archive,
    part: Part,
    place: Place,
    now: datetime,
) -> None:
    """Write these conversations, their files first, and move ``place`` behind them.

    A contact's name and variables are in the first of their lines only: they can be as large as all else together.
    """
    inside = {"conversation__in": [each.pk for each in conversations]}
    messages = Message.objects.readable(now, environment=environment)
    variables = ConversationVariable.objects.readable(now, environment=environment).filter(**inside)
    attachments = with_files(Attachment.objects.readable(now, environment=environment).filter(**inside), environment)
    _write_files(attachments.filter(blob__isnull=False).order_by("pk"), archive, part)
    its_message = messages.filter(conversation=OuterRef("conversation"), seq=OuterRef("message_seq"))
    items = (
        _Items(messages.filter(**inside), "seq"),
        _Items(variables, "key"),
        _Items(attachments.annotate(has_message=Exists(its_message)), "pk"),
    )
    part.counts["contacts"] += len({each.contact_id for each in conversations} - {place.contact})
    for conversation in sorted(conversations, key=attrgetter("pk")):
        contact = {"id": conversation.contact.external_id, "variables": {}}
        if conversation.contact_id not in part.described:
            contact = contact_of(conversation.contact)
            part.described.add(conversation.contact_id)
        line = _line(conversation, contact, *items, part=part)
        length = sum(archive.conversations.write(piece.encode()) for piece in line)
        part.size += length
        if length > LONGEST_LINE:
            part.too_long.append(conversation.external_id)
    place.contact, place.conversation = conversations[-1].contact_id, conversations[-1].pk
    part.described = {place.contact}


class _Items:
    """Items of several conversations, by the ids of these; each is read once."""

    def __init__(self, items: QuerySet[Any], order: str) -> None:
        ordered = items.order_by("conversation_id", order).iterator(chunk_size=AT_ONCE)
        self._groups = groupby(ordered, key=attrgetter("conversation_id"))
        self._next = next(self._groups, None)

    def of(self, conversation: Conversation) -> Iterator[Any]:
        """Yield the items of a conversation; its id is higher than that of the one before."""
        if self._next is not None and self._next[0] == conversation.pk:
            yield from self._next[1]
            self._next = next(self._groups, None)


def _line(
    conversation: Conversation,
    contact: dict[str, Any],
    messages: _Items,
    variables: _Items,
    attachments: _Items,
    *,
    part: Part,
) -> Iterator[str]:
    """Yield the conversation's line and count what is in it.

    A message has the instant from which it ages, so that an import does not make it younger.
    """
    part.counts["conversations"] += 1
    return line_of(
        conversation,
        contact,
        messages=(message_of(each, at=each.sent_at) for each in _counted(messages, conversation, "messages", part)),
        variables=_counted(variables, conversation, "variables", part),
        attachments=(_attachment(each, part) for each in _counted(attachments, conversation, "attachments", part)),
    )


def _counted(items: _Items, conversation: Conversation, kind: str, part: Part) -> Iterator[Any]:
    for item in items.of(conversation):
        part.counts[kind] += 1
        yield item


def _attachment(attachment: Any, part: Part) -> dict[str, Any]:
    """Describe an attachment; its file is named by its content, never by what a sender called it."""
    media = attachment.blob_sha256 if part.files.get(attachment.blob_sha256) else None
    message = {"seq": attachment.message_seq} if attachment.has_message else {}
    return attachment_of(attachment, media) | message


def _write_files(attachments: QuerySet[Any], archive: Archive, part: Part) -> None:
    """Add the files that the part does not have yet."""
    for attachment in attachments.iterator(chunk_size=AT_ONCE):
        sha256 = attachment.blob_sha256
        if sha256 is None or sha256 in part.files:
            continue
        try:
            source = default_storage.open(attachment.blob_key)
        except FileNotFoundError:
            part.files[sha256] = False
            continue
        with source:
            archive.add_file(sha256, source)
        part.files[sha256] = True
        part.counts["files"] += 1
        part.counts["bytes"] += attachment.blob_size
        part.size += attachment.blob_size


class ZipArchive:
    """A zip file; the lines wait in temporary files until all media are written. Takes no memory for its content."""

    def __init__(self, target: IO[bytes]) -> None:
        self._stack = ExitStack()
        self._zip = self._stack.enter_context(zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED))
        self.conversations: IO[bytes] = self._temporary()
        self.contacts: IO[bytes] = self._temporary()

    def _temporary(self) -> IO[bytes]:
        return self._stack.enter_context(tempfile.TemporaryFile())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def add_file(self, name: str, source: IO[bytes]) -> None:
        self._add(f"{MEDIA}/{name}", source)

    def finish(self, manifest: dict[str, Any]) -> None:
        for name, lines in ((CONVERSATIONS, self.conversations), (CONTACTS, self.contacts)):
            lines.seek(0)
            self._add(name, lines)
        self._zip.writestr(MANIFEST, _as_text(manifest))

    def _add(self, name: str, source: IO[bytes]) -> None:
        with self._zip.open(name, "w", force_zip64=True) as target:
            shutil.copyfileobj(source, target)


class FolderArchive:
    """A new folder on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        (path / MEDIA).mkdir(parents=True)
        self.conversations: IO[bytes] = self._stack.enter_context((path / CONVERSATIONS).open("xb"))
        self.contacts: IO[bytes] = self._stack.enter_context((path / CONTACTS).open("xb"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def add_file(self, name: str, source: IO[bytes]) -> None:
        with (self._path / MEDIA / name).open("xb") as target:
            shutil.copyfileobj(source, target)

    def finish(self, manifest: dict[str, Any]) -> None:
        self._stack.close()  # a full disk can say so only now
        (self._path / MANIFEST).write_text(_as_text(manifest), encoding="utf-8")


def _as_text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
