"""Append messages and variables to a conversation, even if the purge deleted it meanwhile."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext as _

from conversations.choices import MessageRole
from conversations.fields import to_json
from conversations.ingest.clocks import BOUND, next_bound
from conversations.ingest.contacts import Profile, hold_contacts
from conversations.ingest.copying import copy, escape
from conversations.ingest.limits import VariablesSize
from conversations.ingest.lines import LARGEST_SEQ, NewMessage
from conversations.ingest.strict_json import Refused
from conversations.models import Contact, Conversation, DailyCountDelta, Message

A_DAY = timedelta(days=1)  # the shortest limit: younger messages cannot be past it


class _Key(NamedTuple):
    """What items refer to their conversation by."""

    conversation_id: int
    environment_id: int


@transaction.atomic
def append(
    conversation: Conversation,
    *,
    messages: Sequence[NewMessage] = (),
    variables: Mapping[str, Any] | None = None,
    now: datetime,
) -> Conversation:
    """Append messages and write variables in one transaction; return the conversation that has them.

    That is a new conversation with the same external ids if the purge deleted the old one meanwhile. A message whose
    ``seq`` exists with the same content is left unchanged, so sending it twice is safe and keeps nothing longer; one
    with other content raises ``Refused``. A ``ts`` in the future counts as received now.
    """
    now = now.astimezone(UTC)
    times = [min(message.ts or now, now).astimezone(UTC) for message in messages]
    oldest, newest = min(times, default=now), max([*times, now] if variables or not times else times)
    with connection.cursor() as cursor:
        pk = _touch(cursor, conversation, oldest, newest) or _recreate(cursor, conversation, oldest, newest, now)
        key = _Key(pk, conversation.environment_id)
        new = _without_known(cursor, key, list(zip(messages, times, strict=True)))
        _add(cursor, key, new, now)
        _write(cursor, key, variables or {}, now)
        _count(cursor, conversation, messages=[at for _, at in new])
        if pk != conversation.pk:
            return Conversation.objects.get(pk=pk, environment=conversation.environment_id)
        if new or variables:
            _update_activity(cursor, conversation.contact, newest)
        else:
            transaction.set_rollback(True)  # nothing new: the conversation must not become younger
    return conversation


def _touch(cursor: CursorWrapper, conversation: Conversation, oldest: datetime, newest: datetime) -> int | None:
    """Lock the conversation, widen its bounds and return its id, or ``None`` if it was deleted."""
    cursor.execute(_TOUCH, [newest, next_bound(newest), oldest, conversation.environment_id, conversation.external_id])
    row = cursor.fetchone()
    return row[0] if row else None


_TOUCH = """
UPDATE conversations_conversation SET
  last_activity_at = CASE WHEN last_activity_at < %s THEN %s ELSE last_activity_at END,
  oldest_item_at = LEAST(oldest_item_at, %s)
WHERE environment_id = %s AND external_id = %s RETURNING id
"""


def _update_activity(cursor: CursorWrapper, contact: Contact, at: datetime) -> None:
    """Update the contact's last activity, at most once in five minutes.

    Skips a contact that is locked: the other transaction writes the same or erases it, and could wait for a lock of
    this one.
    """
    since = next_bound(at) - BOUND
    if contact.last_activity_at < since:
        cursor.execute(_UPDATE_ACTIVITY, [at, contact.environment_id, contact.pk, contact.environment_id, since])
        contact.last_activity_at = at


_UPDATE_ACTIVITY = """
UPDATE conversations_contact SET last_activity_at = %s WHERE environment_id = %s AND id = (
  SELECT id FROM conversations_contact WHERE id = %s AND environment_id = %s AND last_activity_at < %s
  FOR NO KEY UPDATE SKIP LOCKED)
"""


def _recreate(
    cursor: CursorWrapper, conversation: Conversation, oldest: datetime, newest: datetime, now: datetime
) -> int:
    """Create the conversation again and return its id; also its contact if deleted, without the erased name."""
    known_as = conversation.contact.external_id
    held = hold_contacts(cursor, conversation.environment, {known_as: Profile("", {}, newest)}, now)
    if held.new:
        _count(cursor, conversation, contacts=[oldest])
    known: list[Any] = [conversation.environment_id, held.ids[known_as], conversation.external_id, conversation.channel]
    while True:
        cursor.execute(_INSERT, [*known, now, oldest, next_bound(newest)])
        if row := cursor.fetchone():
            return int(row[0])
        if pk := _touch(cursor, conversation, oldest, newest):  # another transaction created it first
            return pk


_INSERT = """
INSERT INTO conversations_conversation
  (uuid, environment_id, contact_id, external_id, channel, created_at, oldest_item_at, last_activity_at)
VALUES (gen_random_uuid(), %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (environment_id, external_id) DO NOTHING RETURNING id
"""


def _without_known(
    cursor: CursorWrapper, key: _Key, messages: list[tuple[NewMessage, datetime]]
) -> list[tuple[NewMessage, datetime]]:
    """Return the messages that are not stored yet, and give a seq to those without. Raises ``Refused``."""
    seqs = [message.seq for message, _ in messages if message.seq is not None]
    known: dict[int, tuple[str, str, str]] = {}
    if seqs:
        cursor.execute(_KNOWN, [seqs, *key])
        known = {seq: (role, author, text) for seq, role, author, text in cursor.fetchall()}
    following = _highest_seq(cursor, key, seqs) + 1 if len(seqs) < len(messages) else 0
    new = []
    for index, (message, at) in enumerate(messages):
        content = (message.role, message.author, message.text)
        if message.seq is None:
            if following > LARGEST_SEQ:
                raise Refused(
                    _("messages[%(index)s].seq: no number is left after %(largest)s")
                    % {"index": index, "largest": LARGEST_SEQ}
                )
            message.seq, following = following, following + 1
        elif message.seq in known:
            if known[message.seq] != content:
                raise Refused(_("messages[%(index)s].seq is taken by another message") % {"index": index})
            continue
        known[message.seq] = content
        new.append((message, at))
    return new


# A search in the primary key for each seq. Where an environment has few messages, PostgreSQL expects few in each of its
# conversations too, and would rather read all of them.
_KNOWN = """
SELECT m.seq, m.role, m.author, m.text FROM unnest(%s::int[]) AS u(seq) CROSS JOIN LATERAL (
  SELECT seq, role, author, text FROM conversations_message
  WHERE conversation_id = %s AND environment_id = %s AND seq = u.seq OFFSET 0) AS m
"""


def _highest_seq(cursor: CursorWrapper, key: _Key, seqs: list[int]) -> int:
    cursor.execute(_HIGHEST_SEQ, key)
    row = cursor.fetchone()
    return max([*seqs, row[0] if row else -1])


_HIGHEST_SEQ = """
SELECT seq FROM conversations_message WHERE conversation_id = %s AND environment_id = %s ORDER BY seq DESC LIMIT 1
"""


def _add(cursor: CursorWrapper, key: _Key, messages: list[tuple[NewMessage, datetime]], now: datetime) -> None:
    rows = []
    for message, at in messages:
        claimed = message.ts.isoformat() if message.ts and message.ts > now else r"\N"
        role = MessageRole(message.role).value
        author, text = escape(message.author), escape(message.text)
        received = now.isoformat() if at < now - A_DAY else r"\N"
        ids = f"{key.conversation_id}\t{key.environment_id}"
        rows.append(f"{ids}\t{message.seq}\t{role}\t{author}\t{text}\t{at.isoformat()}\t{claimed}\t{received}")
    columns = "conversation_id, environment_id, seq, role, author, text, sent_at, claimed_at, received_at"
    copy(cursor, Message, columns, rows)


def _write(cursor: CursorWrapper, key: _Key, variables: Mapping[str, Any], now: datetime) -> None:
    if variables:
        names = sorted(variables)
        _check_growth(cursor, key, names, VariablesSize.of(variables))
        cursor.execute(_WRITE, [*key, now, names, [to_json(variables[name]) for name in names]])


def _check_growth(cursor: CursorWrapper, key: _Key, names: list[str], new: VariablesSize) -> None:
    """Raise ``Refused`` if the conversation, which is locked, would have too many variables."""
    cursor.execute(_MEASURE, [names, names, *key])
    count, size, replaced_count, replaced_size = cursor.fetchone()
    before = VariablesSize(count, size)
    after = VariablesSize(count - replaced_count + new.count, size - replaced_size + new.bytes)
    if excess := after.excess_over(before):
        raise Refused(_("variables: the conversation would have %(excess)s") % {"excess": excess})


_MEASURE = """
SELECT count(*), coalesce(sum(bytes), 0), count(*) FILTER (WHERE key = ANY(%s)),
  coalesce(sum(bytes) FILTER (WHERE key = ANY(%s)), 0)
FROM (
  SELECT key, octet_length(key) + octet_length(value::text) AS bytes
  FROM conversations_conversationvariable WHERE conversation_id = %s AND environment_id = %s
) AS variable
"""
_WRITE = """
INSERT INTO conversations_conversationvariable AS v (conversation_id, environment_id, key, value, written_at)
SELECT %s, %s, u.key, u.value::json, %s FROM unnest(%s::text[], %s::text[]) AS u(key, value)
ON CONFLICT (conversation_id, key, environment_id) DO UPDATE
SET value = EXCLUDED.value, written_at = GREATEST(v.written_at, EXCLUDED.written_at)
"""


def _count(
    cursor: CursorWrapper,
    conversation: Conversation,
    *,
    messages: Sequence[datetime] = (),
    contacts: Sequence[datetime] = (),
) -> None:
    """Note on which UTC days, and in which channel, messages and new contacts came in."""
    sent, first_seen = ([at.date().isoformat() for at in each] for each in (messages, contacts))
    rows = (
        f"{conversation.environment_id}\t{day}\t{escape(conversation.channel)}"
        f"\t0\t{sent.count(day)}\t0\t{first_seen.count(day)}"
        for day in dict.fromkeys([*sent, *first_seen])
    )
    copy(cursor, DailyCountDelta, "environment_id, day, channel, conversations, messages, bytes, contacts", rows)
