"""Delete what is older than a given cutoff, whatever the limit, for ``reapply_purges`` and deleted organisations."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from archival.engine import run as engine
from archival.engine import statements
from archival.holds.coverage import CONTACT, CONVERSATION, WHOLE_ENVIRONMENT, hold_exists
from archival.models import PurgeRun
from environments.policies.resolve import share_policies

DeleteSome = Callable[[Any, PurgeRun, int, datetime], dict[int, engine.Tally]]


def delete_older(run: PurgeRun, environment: int, cutoff: datetime) -> None:
    """Delete in batches what is older than the cutoff in the environment; holds count as at ``run.as_of``."""
    for delete_some in (delete_some_conversations, delete_some_contacts):
        while delete_batch(run, delete_some, environment, cutoff):
            pass


def delete_again(run: PurgeRun, environment: int, deleted: dict[str, Any]) -> None:
    """Delete again exactly what a batch deleted in the environment; ``deleted`` is from ``journal.add_batch_entry``."""
    cutoff = datetime.fromisoformat(deleted["cutoff"])
    # The batch deleted messages in parts, the oldest first, and all other items at once. For messages at the instant of
    # the oldest item left, the entry has the deleted seqs; entries of older releases do not have them.
    bounds = {int(pk): min(cutoff, datetime.fromisoformat(oldest)) for pk, oldest in deleted["left"].items()}
    parts = {int(pk): ranges for pk, ranges in deleted.get("parts", {}).items()}
    ids = engine.pg_array([*deleted["gone"], *bounds])

    def delete_same(cursor: Any, run: PurgeRun, environment: int, cutoff: datetime) -> dict[int, engine.Tally]:
        values: dict[str, Any] = {"environment": environment, "ids": ids, "now": run.as_of}
        cursor.execute(_SAME_CONVERSATIONS, values)
        if not (found := cursor.fetchall()):
            return {}
        locked = engine.Locked(environment, cutoff, min(oldest for _, oldest in found), [pk for pk, _ in found])
        count = delete_parts(cursor, environment, {pk: parts[pk] for pk in locked.ids if pk in parts}, bounds)
        tallies = engine.delete_items(cursor, run, [locked], LIMITS, message_bounds=bounds)
        tallies[environment].counts["messages"] += count
        return {pk: tally for pk, tally in tallies.items() if tally.rows}

    while delete_batch(run, delete_same, environment, cutoff):
        pass
    with transaction.atomic(), connection.cursor() as cursor:
        share_policies()
        values: dict[str, Any] = {"environment": environment, "ids": engine.pg_array(deleted["contacts"])}
        cursor.execute(_SAME_CONTACTS, values)
        if tallies := delete_contacts(cursor, run, environment, cutoff, cursor.fetchall()):
            engine.write_receipts(cursor, run, tallies)


def delete_parts(
    cursor: Any, environment: int, parts: dict[int, list[tuple[int, int]]], instants: dict[int, datetime]
) -> int:
    """Delete the messages of each conversation at its instant with a seq in its ranges; return how many."""
    rows = [(pk, instants[pk], first, last) for pk, ranges in parts.items() for first, last in ranges]
    if not rows:
        return 0
    ids, ats, firsts, lasts = (engine.pg_array(column) for column in zip(*rows, strict=True))
    values = {"environment": environment, "ids": ids, "instants": ats, "firsts": firsts, "lasts": lasts}
    cursor.execute(_PARTS, values)
    return int(cursor.rowcount)


def delete_batch(run: PurgeRun, delete_some: DeleteSome, environment: int, cutoff: datetime) -> bool:
    """Let ``delete_some`` delete one batch in a transaction, with its receipts; return whether it deleted anything."""
    with transaction.atomic(), connection.cursor() as cursor:
        share_policies()
        tallies = delete_some(cursor, run, environment, cutoff)
        if tallies:
            engine.write_receipts(cursor, run, tallies)
    return bool(tallies)


# The same conditions as in the purge, but with a given cutoff.
_CONVERSATION_HELD = hold_exists("%(environment)s", WHOLE_ENVIRONMENT, CONVERSATION)
_CONVERSATIONS = f"""
SELECT c.id, c.oldest_item_at FROM conversations_conversation c
WHERE c.environment_id = %(environment)s AND c.oldest_item_at < %(cutoff)s
  AND NOT {_CONVERSATION_HELD}
ORDER BY c.oldest_item_at LIMIT %(most)s FOR UPDATE
"""
_CONTACTS = f"""
SELECT t.id, t.last_activity_at FROM conversations_contact t
WHERE t.environment_id = %(environment)s AND t.last_activity_at < %(cutoff)s
  AND NOT EXISTS (SELECT FROM conversations_conversation v WHERE v.contact_id = t.id
    AND v.environment_id = t.environment_id)
  AND NOT {hold_exists("%(environment)s", WHOLE_ENVIRONMENT, CONTACT)}
ORDER BY t.last_activity_at LIMIT %(most)s FOR UPDATE
"""
_SAME_CONVERSATIONS = f"""
SELECT c.id, c.oldest_item_at FROM conversations_conversation c
WHERE c.environment_id = %(environment)s AND c.id = ANY(%(ids)s::bigint[])
  AND NOT {_CONVERSATION_HELD}
ORDER BY c.id FOR UPDATE
"""
_SAME_CONTACTS = """
SELECT t.id, t.last_activity_at FROM conversations_contact t
WHERE t.environment_id = %(environment)s AND t.id = ANY(%(ids)s::bigint[]) ORDER BY t.id FOR UPDATE
"""
# Uses the index of seqs: with the index of instants, each range would read all messages of the instant.
_PARTS = """
DELETE FROM conversations_message WHERE environment_id = %(environment)s AND ctid = ANY(ARRAY(
  SELECT m.ctid
  FROM unnest(%(ids)s::bigint[], %(instants)s::timestamptz[], %(firsts)s::int[], %(lasts)s::int[])
    AS p(id, at, first, last)
  CROSS JOIN LATERAL (
    SELECT m.ctid, m.sent_at FROM conversations_message m
    WHERE m.conversation_id = p.id AND m.environment_id = %(environment)s
      AND m.seq BETWEEN p.first AND p.last OFFSET 0) m
  WHERE m.sent_at = p.at))
"""
LIMITS = engine.Limits()


def delete_some_conversations(
    cursor: Any, run: PurgeRun, environment: int, cutoff: datetime
) -> dict[int, engine.Tally]:
    """Lock up to ``LIMITS.conversations`` conversations and delete what is too old in them; return the tallies."""
    values = {"environment": environment, "cutoff": cutoff, "now": run.as_of, "most": LIMITS.conversations}
    cursor.execute(_CONVERSATIONS, values)
    locked = cursor.fetchall()
    if not locked:
        return {}
    batch = engine.Locked(environment, cutoff, min(at for _, at in locked), [pk for pk, _ in locked])
    return engine.delete_items(cursor, run, [batch], LIMITS)


def delete_some_contacts(cursor: Any, run: PurgeRun, environment: int, cutoff: datetime) -> dict[int, engine.Tally]:
    """Lock up to ``LIMITS.contacts`` contacts without conversations and delete them; return the tallies."""
    values = {"environment": environment, "cutoff": cutoff, "now": run.as_of, "most": LIMITS.contacts}
    cursor.execute(_CONTACTS, values)
    return delete_contacts(cursor, run, environment, cutoff, cursor.fetchall())


def delete_contacts(
    cursor: Any, run: PurgeRun, environment: int, cutoff: datetime, locked: list[tuple[int, datetime]]
) -> dict[int, engine.Tally]:
    """Delete the locked contacts that have neither a conversation nor a hold; return the tallies."""
    if not locked:
        return {}
    batch = engine.Locked(environment, cutoff, min(at for _, at in locked), [pk for pk, _ in locked])
    cursor.execute(statements.DELETE_CONTACTS, {"now": run.as_of, **engine.arrays_of([batch])})
    tally = engine.Tally(cutoff, batch.oldest)
    tally.contacts = [pk for _, pk in cursor.fetchall()]
    tally.counts["contacts"] = len(tally.contacts)
    return {environment: tally} if tally.rows else {}
