"""Repeat in a restored database what was done after its backup, by the entries of the journal.

Entries are repeated in the order in which they happened: settings (holds, limits, moves, ended changes) and deletions
(erasures, deleted organisations, and what runs deleted, even if the limit is longer by now). So each deletion respects
the holds of its own time: what was purged before a hold was placed is deleted again. Repeating twice changes nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from archival.choices import COUNTS, ChangeState, ExportEnd, JournalKind, RunPurpose, RunState
from archival.engine import run as engine
from archival.engine.delete_older import delete_again, delete_older
from archival.exports.services import withdraw_exports
from archival.journal import entries as journal
from archival.journal import heads
from archival.journal.entries import WrittenEntry, organisation_of
from archival.models import EnvironmentExport, Hold, JournalEntry, PolicyChange, PurgeRun
from archival.policy.services import end_policy_change
from archival.requests.deletion import delete_organisation, stop_deletions
from archival.requests.erasure import erase_contact
from audit.services import record
from conversations.models import Contact, Conversation
from environments.caller import SYSTEM
from environments.policies.resolve import lock_policies
from environments.policies.retention import Retention
from environments.policies.services import set_retention
from environments.tree import services as environments
from web.alone import ENDS_ALL, name_of

DONE_LABELS = {
    JournalKind.HOLD: gettext_lazy("Holds placed"),
    JournalKind.RELEASE: gettext_lazy("Holds released"),
    JournalKind.POLICY: gettext_lazy("Limits set"),
    JournalKind.MOVE: gettext_lazy("Organisations moved"),
    JournalKind.CHANGE: gettext_lazy("Pending changes ended"),
    JournalKind.ERASURE: gettext_lazy("Contacts erased"),
    JournalKind.DELETION: gettext_lazy("Organisations deleted"),
}


@dataclass
class Reapplied:
    """Counts of what was repeated, or of what a dry run would repeat."""

    entries: int
    done: dict[str, int] = field(default_factory=dict)  # entries by kind, without those that changed nothing
    # Counts of what was deleted again, with the keys of a receipt.
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    # A line for each entry that could not be repeated, with the reason.
    refused: list[str] = field(default_factory=list)


def reapply_journal(*, now: datetime, dry_run: bool = False) -> Reapplied:
    """Repeat and store the entries of the journal that this database lacks, so that the web can become ready.

    Call it outside of a transaction, while web and workers wait. Each entry commits on its own; ``dry_run`` does
    everything in one transaction and rolls it back. Raises ``NotAuthentic`` and changes nothing if Studio did not sign
    a file of the journal.
    """
    lacking = journal.missing_entries()
    result = Reapplied(len(lacking), refused=journal.lines_of_missing_files())
    unknown = (entry for entry in lacking if entry.kind not in JournalKind)
    reason = _("this release does not know this kind of entry")
    result.refused += [f"{label_of_entry(entry)}: {reason}" for entry in unknown]
    if not dry_run:
        heads.write_head_of_restore(now=now)
    if not lacking:
        return result
    with rolled_back_if(dry_run):
        stop_deletions(now=now)
        withdraw_exports(EnvironmentExport.objects.all(), ExportEnd.BACKUP, by=SYSTEM, now=now)
        run = PurgeRun.objects.create(as_of=now, purpose=RunPurpose.REAPPLY)
        for entry in lacking:
            if entry.kind in RUNS:
                run.as_of = entry.at  # holds count as they stood at that instant
                delete_as_entry_says(entry, run, result)
            elif entry.kind in REPEAT:
                repeat_entry(entry, result, now)
        run.as_of = now
        result.counts = engine.close_run(run, state=RunState.DONE).counts
    if dry_run:
        return result
    with transaction.atomic():
        for entry in lacking:
            JournalEntry.objects.update_or_create(
                uuid=entry.uuid,
                defaults={"sequence": entry.sequence, "at": entry.at, "kind": entry.kind, "payload": None},
            )
        totals = {"entries": result.entries, **result.done, **result.counts, "refused": len(result.refused)}
        record("purge.reapplied", by=None, subject=run, after=totals)
    journal.try_to_write_entries()
    return result


@contextmanager
def rolled_back_if(dry_run: bool) -> Iterator[None]:
    """Run the block in a transaction that is rolled back at its end, if this is a dry run."""
    if not dry_run:
        yield
        return
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def repeat_entry(entry: WrittenEntry, result: Reapplied, now: datetime) -> None:
    """Repeat one entry in its own transaction, or add a line with the reason to ``result.refused``."""
    try:
        with transaction.atomic():
            lock_policies()
            if REPEAT[entry.kind](entry, now):
                result.done[entry.kind] = result.done.get(entry.kind, 0) + 1
    except ValidationError as error:
        result.refused.append(f"{label_of_entry(entry)}: {' '.join(error.messages)}")
    except ENDS_ALL:
        raise
    except Exception as error:  # the other entries must be repeated after any error
        result.refused.append(f"{label_of_entry(entry)}: {name_of(error)}")


def label_of_entry(entry: WrittenEntry) -> str:
    return f"{entry.sequence} ({entry.kind}, {entry.at:%Y-%m-%d %H:%M})"


def repeat_hold(entry: WrittenEntry, now: datetime) -> bool:
    payload = entry.payload
    environment = organisation_of(payload)
    if environment is None or Hold.objects.filter(environment=environment, uuid=payload["hold"]).exists():
        return False
    contact = conversation = None
    if payload["contact"]:
        contact = Contact.objects.filter(environment=environment, uuid=payload["contact"]).first()
    if payload["conversation"]:
        conversation = Conversation.objects.filter(environment=environment, uuid=payload["conversation"]).first()
    if (payload["contact"] and contact is None) or (payload["conversation"] and conversation is None):
        return False  # what it covers was stored after the backup, so this database does not have it
    hold = Hold.objects.create(
        uuid=payload["hold"],
        environment=environment,
        contact=contact,
        conversation=conversation,
        reason="Placed again from the journal, which has no reasons",
        until=datetime.fromisoformat(payload["until"]) if payload["until"] else None,
        placed_at=entry.at,
    )
    record("hold.placed", environment, by=None, subject=hold)
    return True


def repeat_release(entry: WrittenEntry, now: datetime) -> bool:
    hold = Hold.objects.filter(uuid=entry.payload["hold"], released_at=None).select_related("environment").first()
    if hold is None:
        return False
    Hold.objects.filter(environment=hold.environment_id, pk=hold.pk).update(released_at=entry.at)
    record("hold.released", hold.environment, by=None, subject=hold)
    return True


def repeat_limit(entry: WrittenEntry, now: datetime) -> bool:
    organisation, payload = organisation_of(entry.payload), entry.payload
    if organisation is None:
        return False
    to = Retention(payload["archival"], payload["days"], payload["locked"])
    return set_retention(organisation, to=to, by=SYSTEM, now=entry.at)


def repeat_move(entry: WrittenEntry, now: datetime) -> bool:
    organisation, target = organisation_of(entry.payload), entry.payload["to"]
    to = organisation_of(target) if target else None
    if organisation is None or (target and to is None):
        return False
    before = organisation.path
    environments.move_organisation(organisation, to=to, by=SYSTEM, now=entry.at)
    return organisation.path != before


def repeat_end_of_change(entry: WrittenEntry, now: datetime) -> bool:
    changes = PolicyChange.objects.select_related("organisation")
    change = changes.filter(uuid=entry.payload["change"], state=ChangeState.PENDING).first()
    if change is None:
        return False
    end_policy_change(change, ChangeState(entry.payload["state"]), by=SYSTEM, now=entry.at)
    return True


def repeat_erasure(entry: WrittenEntry, now: datetime) -> bool:
    environment = organisation_of(entry.payload)
    contact = Contact.objects.filter(environment=environment, uuid=entry.payload["contact"]).first()
    if environment is None or contact is None:
        return False
    erase_contact(contact, by=SYSTEM, now=now)
    return True


def repeat_deletion(entry: WrittenEntry, now: datetime) -> bool:
    organisation = organisation_of(entry.payload)
    if organisation is None:
        return False
    delete_organisation(organisation, by=SYSTEM, now=now)
    return True


# Each repeats one entry and returns whether that changed anything.
REPEAT: dict[str, Callable[[WrittenEntry, datetime], bool]] = {
    JournalKind.HOLD: repeat_hold,
    JournalKind.RELEASE: repeat_release,
    JournalKind.POLICY: repeat_limit,
    JournalKind.MOVE: repeat_move,
    JournalKind.CHANGE: repeat_end_of_change,
    JournalKind.ERASURE: repeat_erasure,
    JournalKind.DELETION: repeat_deletion,
}


def delete_as_entry_says(entry: WrittenEntry, run: PurgeRun, result: Reapplied) -> None:
    """Delete again what a run or a batch deleted, in the environments that this database has.

    Adds a line to ``result.refused`` for each environment where that fails.
    """
    for each in entry.payload["environments"]:
        environment = organisation_of(each)
        if environment is None:
            continue
        try:
            if entry.kind == JournalKind.BATCH:
                delete_again(run, environment.pk, each)
            else:
                delete_older(run, environment.pk, datetime.fromisoformat(each["cutoff"]))
        except ENDS_ALL:
            raise
        except Exception as error:  # the other entries must be repeated after any error
            result.refused.append(f"{label_of_entry(entry)}: {environment.slug}: {name_of(error)}")


RUNS = (JournalKind.RUN, JournalKind.BATCH)
