"""Store conversations, many at a time, each completely or not at all.

All writers lock in this order: blobs, contacts, conversations, items; each kind sorted. A conversation is locked
(``append``) or created before anything is added to it, so the purge never misses items that are committed beside it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID, uuid4

from django.core.files.storage import default_storage
from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext as _

from conversations.choices import Outcome
from conversations.fields import to_json
from conversations.ingest.blobs import Content, MediaFolder, hold_blob
from conversations.ingest.clocks import Sent, next_bound, sent_times
from conversations.ingest.contacts import Held, Profile, TooManyVariables, hold_contacts
from conversations.ingest.copying import copy, escape
from conversations.ingest.limits import VariablesSize
from conversations.ingest.lines import ParsedAttachment, ParsedConversation
from conversations.ingest.strict_json import Refused
from conversations.models import Attachment, ConversationVariable, DailyCountDelta, Message
from environments.models import Organisation

ATTEMPTS = 20
DEADLOCK = "40P01"
OTHER_CONTENT = "this id is known with other content; the first stays"
Returned = TypeVar("Returned")


class Result(NamedTuple):
    """What ``store`` did with one conversation; ``uuid`` is that in the database, or ``None`` if it was refused."""

    outcome: Outcome
    uuid: UUID | None = None
    reason: str = ""
    is_past_cutoff: bool = False  # stored, but hidden, and deleted by the next purge


@dataclass(slots=True)
class _Draft:
    """A new conversation with its instants."""

    parsed: ParsedConversation
    place: int  # in the sequence given to ``store``
    times: list[Sent]
    newest_at: datetime
    oldest_at: datetime
    contents: list[Content | None]  # of its attachments
    key: str = ""  # its id and its environment's, as COPY writes them with each item


class _Overtaken(Exception):
    """Another transaction stored one of these conversations meanwhile."""


class _Excess(Exception):
    """Some conversations would give a contact too many variables; ``refused`` has their results, by place."""

    def __init__(self, refused: dict[int, Result]) -> None:
        super().__init__()
        self.refused = refused


def store(
    environment: Organisation,
    conversations: Sequence[ParsedConversation],
    *,
    now: datetime,
    spread_days: int | None = None,
    media: MediaFolder | None = None,
    saved: list[str] | None = None,
) -> list[Result]:
    """Store new conversations in one transaction and return a result for each, in the order given.

    Conversations of an environment are identified by their id. One that exists with the same content is left
    unchanged; one that exists with other content is refused. A contact is created or merged by its id: the name and
    each variable of the conversation stored last win. Nothing of a refused conversation is stored.

    ``spread_days`` is for sources without timestamps (``clocks.sent_times``); ``media`` is the folder with the files of
    attachments. ``saved`` collects the storage keys of new files: delete them if a surrounding transaction fails.
    Raises ``OperationalError`` after twenty attempts that conflicted with other transactions.
    """
    now = now.astimezone(UTC)
    refused: dict[int, Result] = {}
    while True:
        try:
            results, keys = _with_retries(
                lambda keys: _store(environment, conversations, refused, now, spread_days, media, keys)
            )
        except _Excess as excess:
            refused.update(excess.refused)
            continue
        if saved is not None:
            saved.extend(keys)
        return results


def _with_retries(work: Callable[[list[str]], Returned]) -> tuple[Returned, list[str]]:
    """Run ``work`` in a transaction, again after a conflict; return its result and the keys of files it saved."""
    for attempt in range(ATTEMPTS):
        saved: list[str] = []
        try:
            with transaction.atomic():
                return work(saved), saved
        except BaseException as error:
            for key in saved:
                default_storage.delete(key)
            deadlock = isinstance(error, OperationalError) and getattr(error.__cause__, "pgcode", "") == DEADLOCK
            if not (deadlock or isinstance(error, _Overtaken)) or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _store(
    environment: Organisation,
    conversations: Sequence[ParsedConversation],
    refused: dict[int, Result],
    now: datetime,
    spread_days: int | None,
    media: MediaFolder | None,
    saved: list[str],
) -> list[Result]:
    results, new = _separate_known(environment, conversations, refused)
    drafts = []
    for place in new:
        try:
            drafts.append(_draft(conversations[place], place, now, spread_days, media))
        except Refused as error:
            results[place] = Result(Outcome.REFUSED, reason=error.reason)
    if drafts:
        blobs = _hold_blobs(environment, drafts, media, now, saved)
        with connection.cursor() as cursor:
            contacts = _hold_contacts(cursor, environment, drafts, now)
            uuids = _insert_conversations(cursor, environment, drafts, contacts.ids, now)
            _copy_items(cursor, drafts, blobs)
            _count(cursor, environment, drafts, contacts.new)
        cutoff = environment.cutoff(now)
        for draft in drafts:
            late = cutoff is not None and draft.newest_at < cutoff
            results[draft.place] = Result(Outcome.STORED, uuids[draft.parsed.id], is_past_cutoff=late)
    _add_results_of_repeats(conversations, results)
    return [results[place] for place in range(len(conversations))]


def _separate_known(
    environment: Organisation, conversations: Sequence[ParsedConversation], refused: dict[int, Result]
) -> tuple[dict[int, Result], list[int]]:
    """Return the results of conversations that are known or refused, and the places of the others, each id once."""
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, [environment.pk, sorted({each.id for each in conversations})])
        known = {each: (bytes(digest or b""), uuid) for each, digest, uuid in cursor.fetchall()}
    results: dict[int, Result] = {}
    new: dict[str, int] = {}
    for place, each in enumerate(conversations):
        if place in refused:
            results[place] = refused[place]
        if each.id not in known:
            new.setdefault(each.id, place)
        elif known[each.id][0] == each.digest:
            results[place] = Result(Outcome.UNCHANGED, known[each.id][1])
        else:
            results[place] = Result(Outcome.REFUSED, reason=OTHER_CONTENT)
    return results, [place for place in new.values() if place not in refused]


_KNOWN = """
SELECT external_id, digest, uuid FROM conversations_conversation WHERE environment_id = %s AND external_id = ANY(%s)
"""


def _add_results_of_repeats(conversations: Sequence[ParsedConversation], results: dict[int, Result]) -> None:
    """Add results for ids that are repeated in one call, as if the first had been stored before."""
    first: dict[str, int] = {}
    for place, each in enumerate(conversations):
        if place in results:
            first.setdefault(each.id, place)
            continue
        original = first[each.id]
        if results[original].outcome == Outcome.REFUSED:
            results[place] = results[original]
        elif conversations[original].digest == each.digest:
            results[place] = Result(Outcome.UNCHANGED, results[original].uuid)
        else:
            results[place] = Result(Outcome.REFUSED, reason=OTHER_CONTENT)


def _draft(
    parsed: ParsedConversation, place: int, now: datetime, spread_days: int | None, media: MediaFolder | None
) -> _Draft:
    times = sent_times(parsed, now=now, spread_days=spread_days)
    instants = [sent.at for sent in times] or [now]
    contents = [_content(each, index, media) for index, each in enumerate(parsed.attachments)]
    return _Draft(parsed, place, times, max(instants), min(instants), contents)


def _content(attachment: ParsedAttachment, index: int, media: MediaFolder | None) -> Content | None:
    if attachment.media is not None and media is None:
        raise Refused(_("%(path)s: there is no media folder here") % {"path": f"attachments[{index}].media"})
    return media.find(attachment, f"attachments[{index}]") if media else None


def _hold_blobs(
    environment: Organisation, drafts: list[_Draft], media: MediaFolder | None, now: datetime, saved: list[str]
) -> dict[str, int]:
    """Return the ids of the blobs that the drafts need, by SHA-256; store the new ones."""
    contents = {content.sha256: content for draft in drafts for content in draft.contents if content}
    ids = {}
    for sha256 in sorted(contents):
        if media:
            ids[sha256], key = hold_blob(environment, contents[sha256], media, now=now)
            saved.extend([key] if key else [])
    return ids


def _hold_contacts(cursor: CursorWrapper, environment: Organisation, drafts: list[_Draft], now: datetime) -> Held:
    """Create or update the contacts of the drafts. Raises ``_Excess``."""
    try:
        return hold_contacts(cursor, environment, _profiles(drafts), now)
    except TooManyVariables as outgrown:
        raise _Excess(_too_many(drafts, outgrown.stored)) from None


def _too_many(drafts: list[_Draft], stored: dict[str, dict[str, Any]]) -> dict[int, Result]:
    """Return a refusal for each draft, in order, that would give its contact too many variables, by place."""
    refused = {}
    for draft in drafts:
        contact = draft.parsed.contact
        if contact.id not in stored:
            continue
        before, after = stored[contact.id], stored[contact.id] | contact.variables
        if excess := VariablesSize.of(after).excess_over(VariablesSize.of(before)):
            reason = _("contact.variables: the contact would have %(excess)s") % {"excess": excess}
            refused[draft.place] = Result(Outcome.REFUSED, reason=reason)
        else:
            stored[contact.id] = after
    return refused


def _profiles(drafts: Iterable[_Draft]) -> dict[str, Profile]:
    profiles: dict[str, Profile] = {}
    for draft in drafts:
        contact = draft.parsed.contact
        if contact.id in profiles:
            profiles[contact.id].merge(contact.name, contact.variables, draft.newest_at)
        else:
            profiles[contact.id] = Profile(contact.name, contact.variables, draft.newest_at)
    return profiles


def _insert_conversations(
    cursor: CursorWrapper, environment: Organisation, drafts: list[_Draft], contacts: dict[str, int], now: datetime
) -> dict[str, UUID]:
    """Create the rows, set ``key`` of each draft, and return the UUIDs by external id. Raises ``_Overtaken``."""
    ordered = sorted(drafts, key=lambda draft: draft.parsed.id)
    columns: list[list[Any]] = [
        [draft.parsed.id for draft in ordered],
        [contacts[draft.parsed.contact.id] for draft in ordered],
        [draft.parsed.channel for draft in ordered],
        [draft.oldest_at for draft in ordered],
        [next_bound(draft.newest_at) for draft in ordered],
        [draft.parsed.digest.hex() for draft in ordered],
    ]
    cursor.execute(_INSERT_CONVERSATIONS, [environment.pk, now, *columns])
    rows = {external_id: (pk, uuid) for pk, uuid, external_id in cursor.fetchall()}
    if len(rows) != len(drafts):
        raise _Overtaken
    for draft in drafts:
        draft.key = f"{rows[draft.parsed.id][0]}\t{environment.pk}"
    return {external_id: uuid for external_id, (_, uuid) in rows.items()}


_INSERT_CONVERSATIONS = """
INSERT INTO conversations_conversation
  (uuid, environment_id, contact_id, external_id, channel, created_at, oldest_item_at, last_activity_at, digest)
SELECT gen_random_uuid(), %s, u.contact, u.external_id, u.channel, %s, u.oldest, u.latest, decode(u.digest, 'hex')
FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::text[])
  AS u(external_id, contact, channel, oldest, latest, digest)
ON CONFLICT (environment_id, external_id) DO NOTHING RETURNING id, uuid, external_id
"""


def _copy_items(cursor: CursorWrapper, drafts: list[_Draft], blobs: dict[str, int]) -> None:
    columns = "conversation_id, environment_id, seq, role, author, text, sent_at, claimed_at"
    copy(cursor, Message, columns, _message_rows(drafts))
    columns = "conversation_id, environment_id, key, value, written_at"
    copy(cursor, ConversationVariable, columns, _variable_rows(drafts))
    columns = "conversation_id, environment_id, uuid, message_seq, blob_id, name, mime, size, sent_at"
    copy(cursor, Attachment, columns, _attachment_rows(drafts, blobs))


def _message_rows(drafts: list[_Draft]) -> Iterable[str]:
    for draft in drafts:
        for message, (at, claimed) in zip(draft.parsed.messages, draft.times, strict=True):
            author, text = escape(message.author) if message.author else "", escape(message.text)
            claim = claimed.isoformat() if claimed else r"\N"
            yield f"{draft.key}\t{message.seq}\t{message.role}\t{author}\t{text}\t{at.isoformat()}\t{claim}"


def _variable_rows(drafts: list[_Draft]) -> Iterable[str]:
    for draft in drafts:
        at = draft.newest_at.isoformat()
        for name, value in draft.parsed.variables.items():
            yield f"{draft.key}\t{escape(name)}\t{escape(to_json(value))}\t{at}"


def _attachment_rows(drafts: list[_Draft], blobs: dict[str, int]) -> Iterable[str]:
    for draft in drafts:
        sent = {message.seq: time.at for message, time in zip(draft.parsed.messages, draft.times, strict=True)}
        for each, content in zip(draft.parsed.attachments, draft.contents, strict=True):
            seq = r"\N" if each.seq is None else each.seq
            blob = blobs[content.sha256] if content else r"\N"
            at = (draft.newest_at if each.seq is None else sent[each.seq]).isoformat()
            name, mime = escape(each.name), escape(each.mime)
            yield f"{draft.key}\t{uuid4()}\t{seq}\t{blob}\t{name}\t{mime}\t{each.size}\t{at}"


@dataclass(slots=True)
class _Tally:
    conversations: int = 0
    messages: int = 0
    bytes: int = field(default=0)
    contacts: int = 0


def _count(cursor: CursorWrapper, environment: Organisation, drafts: list[_Draft], new: set[str]) -> None:
    """Note what came in per UTC day and channel.

    A conversation and its files count on its newest day. A new contact counts on the oldest day of the conversation
    that it came with; of several, the one that began first.
    """
    tallies: dict[tuple[str, str], _Tally] = defaultdict(_Tally)
    for draft in drafts:
        channel = draft.parsed.channel
        newest = tallies[draft.newest_at.date().isoformat(), channel]
        newest.conversations += 1
        newest.bytes += sum(content.size for content in draft.contents if content)
        for sent in draft.times:
            tallies[sent.at.date().isoformat(), channel].messages += 1
    for draft in _first_of_each_contact(drafts, new):
        tallies[draft.oldest_at.date().isoformat(), draft.parsed.channel].contacts += 1
    rows = (
        f"{environment.pk}\t{day}\t{escape(channel)}\t{tally.conversations}\t{tally.messages}\t{tally.bytes}"
        f"\t{tally.contacts}"
        for (day, channel), tally in tallies.items()
    )
    copy(cursor, DailyCountDelta, "environment_id, day, channel, conversations, messages, bytes, contacts", rows)


def _first_of_each_contact(drafts: list[_Draft], contacts: set[str]) -> Iterable[_Draft]:
    """Return the draft that began first of each of these contacts."""
    theirs = [draft for draft in drafts if draft.parsed.contact.id in contacts]
    theirs.sort(key=lambda draft: (draft.oldest_at, draft.parsed.id), reverse=True)
    return {draft.parsed.contact.id: draft for draft in theirs}.values()
