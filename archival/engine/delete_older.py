"""Delete everything older than a given cutoff, whatever the limits are: for what acted before, and for all there is."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from archival.engine import run as purge
from archival.engine import statements
from archival.holds.coverage import CONTACT, CONVERSATION, WHOLE_ENVIRONMENT, hold_exists
from archival.models import PurgeRun
from environments.policies.resolve import POLICY_LOCK

Take = Callable[[Any, PurgeRun, int, datetime], dict[int, purge.Tally]]


def delete_older(run: PurgeRun, environment: int, cutoff: datetime) -> None:
    """Delete what is older than the cutoff in the environment, whatever its limit is; holds count at ``run.as_of``."""
    for take in (take_conversations, take_contacts):
        while delete_batch(run, take, environment, cutoff):
            pass


def delete_again(run: PurgeRun, environment: int, deleted: dict[str, Any]) -> None:
    """Delete what one batch has deleted there, as ``journal.note_batch`` tells it, and nothing beside that."""
    cutoff = datetime.fromisoformat(deleted["cutoff"])
    # All else that is too old went at once, messages in parts, the oldest first. Those of the instant of what is oldest
    # since are told by seq; by a journal of before that, not at all.
    bounds = {int(pk): min(cutoff, datetime.fromisoformat(oldest)) for pk, oldest in deleted["left"].items()}
    parts = {int(pk): ranges for pk, ranges in deleted.get("parts", {}).items()}
    ids = purge.array([*deleted["gone"], *bounds])

    def take_the_same(cursor: Any, run: PurgeRun, environment: int, cutoff: datetime) -> dict[int, purge.Tally]:
        values: dict[str, Any] = {"environment": environment, "ids": ids, "now": run.as_of}
        cursor.execute(_THE_SAME_CONVERSATIONS, values)
        if not (found := cursor.fetchall()):
            return {}
        locked = purge.Locked(environment, cutoff, min(oldest for _, oldest in found), [pk for pk, _ in found])
        count = delete_parts(cursor, {pk: parts[pk] for pk in locked.ids if pk in parts}, bounds)
        tallies = purge.delete_items(cursor, run, [locked], LIMITS, message_bounds=bounds)
        tallies[environment].counts["messages"] += count
        return {pk: tally for pk, tally in tallies.items() if tally.rows}

    while delete_batch(run, take_the_same, environment, cutoff):
        pass
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statements.SHARE_POLICIES, {"lock": POLICY_LOCK})
        values: dict[str, Any] = {"environment": environment, "ids": purge.array(deleted["contacts"])}
        cursor.execute(_THE_SAME_CONTACTS, values)
        if tallies := delete_contacts(cursor, run, environment, cutoff, cursor.fetchall()):
            purge.write_receipts(cursor, run, tallies)


def delete_parts(cursor: Any, parts: dict[int, list[tuple[int, int]]], instants: dict[int, datetime]) -> int:
    """Delete the messages of an instant in each conversation whose seqs lie in the ranges; return how many."""
    rows = [(pk, instants[pk], first, last) for pk, ranges in parts.items() for first, last in ranges]
    if not rows:
        return 0
    ids, ats, firsts, lasts = (purge.array(column) for column in zip(*rows, strict=True))
    cursor.execute(_PARTS, {"ids": ids, "instants": ats, "firsts": firsts, "lasts": lasts})
    return int(cursor.rowcount)


def delete_batch(run: PurgeRun, take: Take, environment: int, cutoff: datetime) -> bool:
    """Delete one batch of what ``take`` finds, in a transaction; return whether there was anything."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statements.SHARE_POLICIES, {"lock": POLICY_LOCK})
        tallies = take(cursor, run, environment, cutoff)
        if tallies:
            purge.write_receipts(cursor, run, tallies)
    return bool(tallies)


# What is due is found by the purge's own conditions, but for the cutoff, which is given.
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
  AND NOT EXISTS (SELECT FROM conversations_conversation v WHERE v.contact_id = t.id)
  AND NOT {hold_exists("%(environment)s", WHOLE_ENVIRONMENT, CONTACT)}
ORDER BY t.last_activity_at LIMIT %(most)s FOR UPDATE
"""
_THE_SAME_CONVERSATIONS = f"""
SELECT c.id, c.oldest_item_at FROM conversations_conversation c
WHERE c.environment_id = %(environment)s AND c.id = ANY(%(ids)s::bigint[])
  AND NOT {_CONVERSATION_HELD}
ORDER BY c.id FOR UPDATE
"""
_THE_SAME_CONTACTS = """
SELECT t.id, t.last_activity_at FROM conversations_contact t
WHERE t.environment_id = %(environment)s AND t.id = ANY(%(ids)s::bigint[]) ORDER BY t.id FOR UPDATE
"""
# By the index of seqs: through the one of instants each range would read the whole instant.
_PARTS = """
DELETE FROM conversations_message WHERE ctid = ANY(ARRAY(
  SELECT m.ctid
  FROM unnest(%(ids)s::bigint[], %(instants)s::timestamptz[], %(firsts)s::int[], %(lasts)s::int[])
    AS p(id, at, first, last)
  CROSS JOIN LATERAL (
    SELECT m.ctid, m.sent_at FROM conversations_message m
    WHERE m.conversation_id = p.id AND m.seq BETWEEN p.first AND p.last OFFSET 0) m
  WHERE m.sent_at = p.at))
"""
LIMITS = purge.Limits()


def take_conversations(cursor: Any, run: PurgeRun, environment: int, cutoff: datetime) -> dict[int, purge.Tally]:
    """Lock a few conversations and delete what is too old in them; return what that was, by environment."""
    values = {"environment": environment, "cutoff": cutoff, "now": run.as_of, "most": LIMITS.conversations}
    cursor.execute(_CONVERSATIONS, values)
    locked = cursor.fetchall()
    if not locked:
        return {}
    mine = purge.Locked(environment, cutoff, min(at for _, at in locked), [pk for pk, _ in locked])
    return purge.delete_items(cursor, run, [mine], LIMITS)


def take_contacts(cursor: Any, run: PurgeRun, environment: int, cutoff: datetime) -> dict[int, purge.Tally]:
    """Lock and delete a few contacts without conversations; return how many, by environment."""
    values = {"environment": environment, "cutoff": cutoff, "now": run.as_of, "most": LIMITS.contacts}
    cursor.execute(_CONTACTS, values)
    return delete_contacts(cursor, run, environment, cutoff, cursor.fetchall())


def delete_contacts(
    cursor: Any, run: PurgeRun, environment: int, cutoff: datetime, locked: list[tuple[int, datetime]]
) -> dict[int, purge.Tally]:
    """Delete those of the locked contacts that have no conversation and no hold; return how many, by environment."""
    if not locked:
        return {}
    cursor.execute(statements.DELETE_CONTACTS, {"now": run.as_of, "ids": purge.array(pk for pk, _ in locked)})
    tally = purge.Tally(cutoff, min(at for _, at in locked))
    tally.contacts = [pk for _, pk in cursor.fetchall()]
    tally.counts["contacts"] = len(tally.contacts)
    return {environment: tally} if tally.rows else {}
