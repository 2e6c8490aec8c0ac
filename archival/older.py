"""Delete everything older than a given cutoff, whatever the limits are: for what acted before, and for all there is."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from archival import purge, statements
from archival.choices import RunPurpose, RunState
from archival.models import PurgeRun
from archival.statements import ACTIVE_HOLD
from environments.policies import POLICY_LOCK
from web.alone import ENDS_ALL, name_of

Take = Callable[[Any, PurgeRun, int, datetime], dict[int, purge.Tally]]


def delete_older(cutoffs: dict[int, datetime], *, now: datetime) -> PurgeRun:
    """Delete what is older than these cutoffs, whatever the limits are by now, in a run of its own with receipts.

    What fails in one environment sets that one aside; the run's alarm names it.
    """
    run = PurgeRun.objects.create(as_of=now, purpose=RunPurpose.REAPPLY)
    trouble: purge.Trouble = {}
    for take in (take_conversations, take_contacts):
        for environment, cutoff in sorted(cutoffs.items()):
            try:
                while environment not in trouble and delete_batch(run, take, environment, cutoff):
                    pass
            except ENDS_ALL:
                raise
            except Exception as error:  # whatever it is, it must not end the run of the others
                trouble[environment] = name_of(error)
    return purge.close(run, state=RunState.DONE, alarm=purge.alarm_of([], trouble))


def delete_batch(run: PurgeRun, take: Take, environment: int, cutoff: datetime) -> bool:
    """Delete one batch of what ``take`` finds, in a transaction; return whether there was anything."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statements.SHARE_POLICIES, {"lock": POLICY_LOCK})
        tallies = take(cursor, run, environment, cutoff)
        if tallies:
            purge.write_receipts(cursor, run, tallies)
    return bool(tallies)


# What is due is found by the purge's own conditions, but for the cutoff, which is given.
_CONVERSATIONS = f"""
SELECT c.id, c.oldest_item_at FROM conversations_conversation c
WHERE c.environment_id = %(environment)s AND c.oldest_item_at < %(cutoff)s
  AND NOT EXISTS (SELECT FROM archival_hold h WHERE h.environment_id = %(environment)s AND {ACTIVE_HOLD}
    AND (h.contact_id IS NULL AND h.conversation_id IS NULL
      OR h.conversation_id = c.id OR h.contact_id = c.contact_id))
ORDER BY c.oldest_item_at LIMIT %(most)s FOR UPDATE
"""
_CONTACTS = f"""
SELECT t.id, t.last_activity_at FROM conversations_contact t
WHERE t.environment_id = %(environment)s AND t.last_activity_at < %(cutoff)s
  AND NOT EXISTS (SELECT FROM conversations_conversation v WHERE v.contact_id = t.id)
  AND NOT EXISTS (SELECT FROM archival_hold h WHERE h.environment_id = %(environment)s AND {ACTIVE_HOLD}
    AND (h.contact_id = t.id OR h.contact_id IS NULL AND h.conversation_id IS NULL))
ORDER BY t.last_activity_at LIMIT %(most)s FOR UPDATE
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
    locked = cursor.fetchall()
    if not locked:
        return {}
    cursor.execute(statements.DELETE_CONTACTS, {"now": run.as_of, "ids": purge.array(pk for pk, _ in locked)})
    tally = purge.Tally(cutoff, min(at for _, at in locked))
    tally.counts["contacts"] = len(cursor.fetchall())
    return {environment: tally} if tally.rows else {}
