"""Do again, in a database that was restored from a backup, what the journal says was done since.

All of it in the order in which it happened: what decides (holds, limits, places, changes that ended) and what deletes
(erasures by contact, and what runs deleted, even where a limit is looser by now). So each deletion honours the holds of
its time: what was purged before a hold was placed goes again. Doing it twice changes nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from archival.choices import COUNTS, ChangeState, JournalKind, RunPurpose, RunState
from archival.engine import run as purge
from archival.engine.delete_older import delete_again, delete_older
from archival.journal import entries as journal
from archival.journal.entries import Told, organisation_of
from archival.models import Hold, JournalEntry, PolicyChange, PurgeRun
from archival.policy.services import end_policy_change
from archival.requests.deletion import delete_organisation, stop_all
from archival.requests.erasure import erase_contact
from audit.services import record
from conversations.models import Contact, Conversation
from environments.policies.resolve import lock_policies
from environments.policies.retention import Retention
from environments.policies.services import set_retention
from environments.tree import services as environments
from web.alone import ENDS_ALL, name_of

IN_WORDS = {
    JournalKind.HOLD: "holds placed",
    JournalKind.RELEASE: "holds released",
    JournalKind.POLICY: "limits set",
    JournalKind.MOVE: "organisations moved",
    JournalKind.CHANGE: "pending changes ended",
    JournalKind.ERASURE: "contacts erased",
    JournalKind.DELETION: "organisations deleted",
}


@dataclass
class Reapplied:
    """What was done again, or would be."""

    entries: int
    done: dict[str, int] = field(default_factory=dict)  # by kind; an entry that changes nothing is not counted
    # Rows deleted by cutoff, as on a receipt.
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    refused: list[str] = field(default_factory=list)  # what could not be done again, and why


def reapply(*, now: datetime, dry_run: bool = False) -> Reapplied:
    """Do again what this database lacks of the journal; afterwards it knows all of it, and the web may be ready.

    Call it outside of a transaction, with the web and the workers held back. ``dry_run`` does everything in a
    transaction that it rolls back. Raises ``NotAuthentic`` for a journal that we did not sign; nothing is written then.
    """
    lacking = journal.missing()
    found = Reapplied(len(lacking), refused=journal.doubts())
    strange = (told for told in lacking if told.kind not in JournalKind)
    found.refused += [f"{in_short(told)}: this release does not know what that is" for told in strange]
    if not lacking:
        return found
    with rolled_back(dry_run):
        stop_all(now=now)
        run = PurgeRun.objects.create(as_of=now, purpose=RunPurpose.REAPPLY)
        for told in lacking:
            if told.kind in DELETING:
                run.as_of = told.at  # holds count as they stood then
                delete_as_told(told, run, found)
            elif told.kind in DOING:
                do_again(told, found, now)
        run.as_of = now
        found.counts = purge.close(run, state=RunState.DONE).counts
    if dry_run:
        return found
    with transaction.atomic():
        for told in lacking:
            JournalEntry.objects.update_or_create(
                uuid=told.uuid,
                defaults={"sequence": told.sequence, "at": told.at, "kind": told.kind, "payload": None},
            )
        told_of = {"entries": found.entries, **found.done, **found.counts, "refused": len(found.refused)}
        record("purge.reapplied", by=None, subject=run, after=told_of)
    journal.write_if_possible()
    return found


@contextmanager
def rolled_back(dry_run: bool) -> Iterator[None]:
    """Undo at the end what was done inside, if this is a dry run."""
    if not dry_run:
        yield
        return
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def do_again(told: Told, found: Reapplied, now: datetime) -> None:
    """Do one entry again in a transaction of its own, or say why not."""
    try:
        with transaction.atomic():
            lock_policies()
            if DOING[told.kind](told, now):
                found.done[told.kind] = found.done.get(told.kind, 0) + 1
    except ValidationError as error:
        found.refused.append(f"{in_short(told)}: {' '.join(error.messages)}")
    except ENDS_ALL:
        raise
    except Exception as error:  # whatever it is, it must not keep the others from being done again
        found.refused.append(f"{in_short(told)}: {name_of(error)}")


def in_short(told: Told) -> str:
    return f"{told.sequence} ({told.kind}, {told.at:%Y-%m-%d %H:%M})"


def place_hold(told: Told, now: datetime) -> bool:
    payload = told.payload
    environment = organisation_of(payload)
    if environment is None or Hold.objects.filter(uuid=payload["hold"]).exists():
        return False
    contact = conversation = None
    if payload["contact"]:
        contact = Contact.objects.filter(environment=environment, uuid=payload["contact"]).first()
    if payload["conversation"]:
        conversation = Conversation.objects.filter(environment=environment, uuid=payload["conversation"]).first()
    if (payload["contact"] and contact is None) or (payload["conversation"] and conversation is None):
        return False  # it came after the backup: there is nothing of it to hold
    hold = Hold.objects.create(
        uuid=payload["hold"],
        environment=environment,
        contact=contact,
        conversation=conversation,
        reason="Placed again from the journal, which has no reasons",
        until=datetime.fromisoformat(payload["until"]) if payload["until"] else None,
        placed_at=told.at,
    )
    record("hold.placed", environment, by=None, subject=hold)
    return True


def release_hold(told: Told, now: datetime) -> bool:
    hold = Hold.objects.filter(uuid=told.payload["hold"], released_at=None).select_related("environment").first()
    if hold is None:
        return False
    hold.released_at = told.at
    hold.save(update_fields=["released_at"])
    record("hold.released", hold.environment, by=None, subject=hold)
    return True


def set_policy(told: Told, now: datetime) -> bool:
    organisation, payload = organisation_of(told.payload), told.payload
    if organisation is None:
        return False
    to = Retention(payload["archival"], payload["days"], payload["locked"])
    return set_retention(organisation, to=to, by=None, now=told.at)


def move(told: Told, now: datetime) -> bool:
    organisation, target = organisation_of(told.payload), told.payload["to"]
    to = organisation_of(target) if target else None
    if organisation is None or (target and to is None):
        return False
    before = organisation.path
    environments.move_organisation(organisation, to=to, by=None, now=told.at)
    return organisation.path != before


def end_change(told: Told, now: datetime) -> bool:
    changes = PolicyChange.objects.select_related("organisation")
    change = changes.filter(uuid=told.payload["change"], state=ChangeState.PENDING).first()
    if change is None:
        return False
    end_policy_change(change, ChangeState(told.payload["state"]), by=None, now=told.at)
    return True


def erase(told: Told, now: datetime) -> bool:
    environment = organisation_of(told.payload)
    contact = Contact.objects.filter(environment=environment, uuid=told.payload["contact"]).first()
    if environment is None or contact is None:
        return False
    erase_contact(contact, by=None, now=now)
    return True


def delete(told: Told, now: datetime) -> bool:
    organisation = organisation_of(told.payload)
    if organisation is None:
        return False
    delete_organisation(organisation, by=None, now=now)
    return True


# Each does one entry again, and returns whether that changed anything.
DOING: dict[str, Callable[[Told, datetime], bool]] = {
    JournalKind.HOLD: place_hold,
    JournalKind.RELEASE: release_hold,
    JournalKind.POLICY: set_policy,
    JournalKind.MOVE: move,
    JournalKind.CHANGE: end_change,
    JournalKind.ERASURE: erase,
    JournalKind.DELETION: delete,
}


def delete_as_told(told: Told, run: PurgeRun, found: Reapplied) -> None:
    """Delete what a run, or a batch of one, has deleted in the environments that are here, or say where it failed."""
    for each in told.payload["environments"]:
        environment = organisation_of(each)
        if environment is None:
            continue
        try:
            if told.kind == JournalKind.BATCH:
                delete_again(run, environment.pk, each)
            else:
                delete_older(run, environment.pk, datetime.fromisoformat(each["cutoff"]))
        except ENDS_ALL:
            raise
        except Exception as error:  # whatever it is, it must not keep the others from being done again
            found.refused.append(f"{in_short(told)}: {environment.slug}: {name_of(error)}")


DELETING = (JournalKind.RUN, JournalKind.BATCH)
