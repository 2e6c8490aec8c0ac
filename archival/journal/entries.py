"""What was deleted, and what decides what is, told outside the database: a backup that is restored has forgotten both.

An act writes its entry in its own transaction (``note``); once that stands, the entry becomes a signed file of the
journal's storage (``write``), numbered in the order of writing. A database that does not know the latest file is an
older one that was put back: ``manage.py reapply_purges`` then does again what it lacks. Entries hold ids and cutoffs,
never content, and are kept like receipts.
"""

import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from operator import attrgetter
from typing import Any, Protocol
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.db import transaction
from django.db.models import F, Max, Q
from django.utils import timezone

from archival.choices import JournalKind, RunPurpose, RunState
from archival.journal import signing
from archival.journal.receipt_file import NotAuthentic, verify
from archival.models import Erasure, Hold, JournalEntry, PolicyChange, PurgeRun
from environments.models import Organisation
from web.alone import set_aside
from web.locks import lock_until_commit

logger = logging.getLogger(__name__)

JOURNAL_LOCK = 0x4A_4F_55_52_4E_41_4C  # one writer at a time
NAME = re.compile(r"[0-9]{12}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.json")
FOLDER = re.compile(r"[0-9]{9}")
IN_A_FOLDER = 1000  # files, so that the latest is found by two short listings
AT_ONCE = 500
DOWN_AFTER = 5  # failures in a row
RESTORED = (
    "An older database was put back: the journal of purges tells of more than it knows. Run manage.py reapply_purges."
)


@dataclass(frozen=True)
class Told:
    """One entry as the journal's storage has it."""

    sequence: int
    uuid: UUID
    at: datetime
    kind: str
    payload: dict[str, Any]


class Deleted(Protocol):
    """What a batch deleted in one environment, older than ``cutoff``."""

    cutoff: datetime
    gone: list[int]  # conversations, with everything in them
    left: dict[int, datetime]  # conversations that were trimmed, with the clock of what is oldest in them since
    parts: dict[int, str]  # of those with something too old left: the seqs of the messages that went, as an array
    contacts: list[int]


def note(kind: JournalKind, payload: dict[str, Any], *, at: datetime) -> None:
    """Add an entry in the caller's transaction; it is written once that stands, by the next task if not at once."""
    JournalEntry.objects.create(kind=kind, payload=payload, at=at)
    transaction.on_commit(write_if_possible, robust=True)


def note_run(run: PurgeRun, *, left_out: Collection[int] = ()) -> None:
    """Tell with which cutoffs a run has acted in environments where it left nothing that is older.

    That says all that its batches said, so those that wait to be written need not be. Where something older is left,
    they alone say what was deleted: something was held or locked, its limit was lifted meanwhile, it failed (the ids
    ``left_out``), or the run stopped at its maximum. So they do of every other run.
    """
    if run.state != RunState.DONE or run.purpose != RunPurpose.POLICY or not run.rows:
        return
    receipts = run.receipts.filter(is_guarded=False).exclude(environment__in=list(left_out))
    receipts = receipts.filter(Q(oldest_after=None) | Q(oldest_after__gte=F("cutoff")))
    receipts = receipts.select_related("environment").order_by("pk")
    acted = [{**of(receipt.environment), "cutoff": receipt.cutoff.isoformat()} for receipt in receipts if receipt.rows]
    is_whole = len(acted) == sum(1 for receipt in run.receipts.all() if receipt.rows)
    waiting = JournalEntry.objects.filter(sequence=None)
    if is_whole and not waiting.exclude(kind=JournalKind.BATCH).exists() and is_all_unwritten():
        waiting.filter(kind=JournalKind.BATCH, payload__run=run.pk).delete()
    note(JournalKind.RUN, {"run": run.pk, "environments": acted}, at=run.as_of)


def is_all_unwritten() -> bool:
    """Tell whether no file is there of what waits, and keep writers away until the transaction ends.

    To drop an entry of which a crash, or a writer at work, has left a file would make this database an older one.
    """
    lock_writers()
    try:
        latest = next(map(sequence_of, names(newest_first=True)), 0)
    except Exception as error:  # storage raises what it likes; the entries are written then, once it can be
        logger.warning("The journal could not be looked at: %s", type(error).__name__)
        return False
    return latest <= known_sequence()


def lock_writers() -> None:
    lock_until_commit(JOURNAL_LOCK)


def note_batch(run: PurgeRun, deleted: Mapping[int, Deleted]) -> None:
    """Tell what one batch of a run has deleted in each environment, by ids; written a little later."""
    named = Organisation.objects.values_list("pk", "created_at", "slug", named=True)
    organisations = {each.pk: each for each in named.filter(pk__in=list(deleted))}
    acted = [
        {
            **of(organisations[pk]),
            "cutoff": each.cutoff.isoformat(),
            "gone": each.gone,
            "left": {str(conversation): oldest.isoformat() for conversation, oldest in each.left.items()},
            "parts": {str(conversation): ranges_of(seqs) for conversation, seqs in each.parts.items()},
            "contacts": each.contacts,
        }
        for pk, each in deleted.items()
        if pk in organisations
    ]
    if acted:
        payload = {"run": run.pk, "environments": acted}
        JournalEntry.objects.create(kind=JournalKind.BATCH, payload=payload, at=run.as_of)


def note_erasure(erasure: Erasure) -> None:
    note(JournalKind.ERASURE, {**of(erasure.environment), "contact": str(erasure.contact_uuid)}, at=erasure.erased_at)


def note_policy(organisation: Organisation, *, at: datetime) -> None:
    """Tell the own value of an organisation after it was changed."""
    policy = {
        "archival": organisation.archival,
        "days": organisation.archive_after_days,
        "locked": organisation.archival_locked,
    }
    note(JournalKind.POLICY, {**of(organisation), **policy}, at=at)


def note_move(organisation: Organisation, *, to: Organisation | None, at: datetime) -> None:
    note(JournalKind.MOVE, {**of(organisation), "to": of(to) if to else None}, at=at)


def note_change(change: PolicyChange) -> None:
    """Tell how a pending change ended, so that an older database does not let it act again."""
    note(JournalKind.CHANGE, {"change": str(change.uuid), "state": change.state}, at=change.ended_at or timezone.now())


def note_hold(hold: Hold) -> None:
    """Tell of a hold without its reason, which may name somebody."""
    covered = {
        "contact": str(hold.contact.uuid) if hold.contact else None,
        "conversation": str(hold.conversation.uuid) if hold.conversation else None,
        "until": hold.until.isoformat() if hold.until else None,
    }
    note(JournalKind.HOLD, {**of(hold.environment), "hold": str(hold.uuid), **covered}, at=hold.placed_at)


def note_deletion(organisation: Organisation, *, at: datetime) -> None:
    note(JournalKind.DELETION, of(organisation), at=at)


def note_release(hold: Hold) -> None:
    note(JournalKind.RELEASE, {"hold": str(hold.uuid)}, at=hold.released_at or timezone.now())


class Named(Protocol):
    """An organisation, or the columns of one that an entry has."""

    pk: int
    created_at: datetime
    slug: str


def of(organisation: Named) -> dict[str, Any]:
    """Return what an entry calls an organisation: an id alone may come again in an older database."""
    created_at = organisation.created_at.isoformat()
    return {"organisation": organisation.pk, "created_at": created_at, "slug": organisation.slug}


def ranges_of(numbers: str) -> list[tuple[int, int]]:
    """Return the first and last of each row of consecutive numbers in a one-dimensional array of PostgreSQL's."""
    each = sorted(json.loads(f"[{numbers[1:-1]}]"))
    if each[-1] - each[0] == len(each) - 1:
        return [(each[0], each[-1])]  # as nearly always
    gaps = [at for at in range(1, len(each)) if each[at] != each[at - 1] + 1]
    return [(each[first], each[last - 1]) for first, last in pairwise([0, *gaps, len(each)])]


def organisation_of(payload: dict[str, Any]) -> Organisation | None:
    """Return the organisation that an entry speaks of, if this database has it."""
    created_at = datetime.fromisoformat(payload["created_at"])
    return Organisation.objects.filter(pk=payload["organisation"], created_at=created_at).first()


def write_if_possible() -> None:
    """Write the entries that wait; where that fails, say so in the log and leave them to the next minute's task."""
    try:
        write()
    except Exception as error:  # storage raises what it likes, and what the entry tells of stands
        logger.error("The journal could not be written: %s. Its entries wait in the database.", error)


def write() -> int:
    """Write the entries that wait, in one transaction, and return how many.

    Writes nothing while an older database is in place: what it lacks comes first. A file that was written before a
    crash is written again. An entry that cannot be written is left for the next time, and the others are written; five
    in a row end this go, since storage is down then.
    """
    with transaction.atomic():
        lock_writers()
        waiting = list(JournalEntry.objects.filter(sequence=None).order_by("pk")[:AT_ONCE])
        if not waiting or is_ahead():
            return 0
        known = known_sequence()
        written = failures = 0
        for entry in waiting:
            sequence, failures = known + written + 1, failures + 1
            with set_aside(f"Entry {entry.pk} of the journal"), transaction.atomic():
                put(sequence, entry)
                entry.sequence, entry.payload = sequence, None
                entry.save(update_fields=["sequence", "payload"])
                written, failures = written + 1, 0
            if failures == DOWN_AFTER:
                break
    return written


def try_to_write() -> None:
    """Write what waits, or log that it could not be: the next task tries again."""
    try:
        write()
    except Exception as error:  # storage backends raise what they like
        logger.error("The journal could not be written: %s", type(error).__name__)


def put(sequence: int, entry: JournalEntry) -> None:
    """Write the entry as a signed file of this number, over one that a crash left there."""
    told = {
        "journal": sequence,
        "uuid": str(entry.uuid),
        "at": entry.at.isoformat(),
        "kind": entry.kind,
        "payload": entry.payload,
    }
    name = f"{sequence // IN_A_FOLDER:09d}/{sequence:012d}-{entry.uuid}.json"
    if storage().exists(name):
        storage().delete(name)
    storage().save(name, ContentFile(signing.sign(told, now=timezone.now()).encode()))


def is_ahead() -> bool:
    """Tell whether the journal's latest file is one that this database does not know: two listings and one query."""
    latest = next(names(newest_first=True), None)
    return latest is not None and not JournalEntry.objects.filter(uuid=uuid_of(latest)).exists()


def known_sequence() -> int:
    return JournalEntry.objects.aggregate(last=Max("sequence", default=0))["last"]


def missing() -> list[Told]:
    """Return what this database lacks, in the order in which it happened, each entry once.

    Raises ``NotAuthentic`` with the name of a file that we did not sign: nothing is deleted on its word. A crash may
    have left a file of an entry that got another number in the end: the later one counts.
    """
    found = names_after(known_sequence())
    uuids = set(JournalEntry.objects.filter(uuid__in=map(uuid_of, found)).values_list("uuid", flat=True))
    told = {each.uuid: each for each in map(read, found) if each.uuid not in uuids}
    return sorted(told.values(), key=attrgetter("sequence"))


def doubts() -> list[str]:
    """Say which files are not there that must have been: every number was given once, and its file came first."""
    known = known_sequence()
    latest = next(map(sequence_of, names(newest_first=True)), 0)
    there = set(map(sequence_of, names_after(known)))
    found = [f"{number}: its file is not in the journal" for number in range(known + 1, latest) if number not in there]
    if latest < known:
        found.append(f"the journal ends with {latest}, and this database knows {known}: is this the right one?")
    return found


def names_after(known: int) -> list[str]:
    return [name for name in names(after=known) if sequence_of(name) > known]


def read(name: str) -> Told:
    """Return what a file tells. Raises ``NotAuthentic`` for one that we did not sign, or under another name."""
    with storage().open(name) as opened:
        document = opened.read()
    try:
        told = verify(document.decode(), signing.public_keys())
    except (NotAuthentic, UnicodeDecodeError) as error:
        raise NotAuthentic(f"{name}: {error}") from error
    if (told.get("journal"), told.get("uuid")) != (sequence_of(name), str(uuid_of(name))):
        raise NotAuthentic(f"{name}: This is another file than its name says.")
    at = datetime.fromisoformat(told["at"])
    return Told(told["journal"], uuid_of(name), at, told["kind"], told["payload"])


def names(*, newest_first: bool = False, after: int = 0) -> Iterator[str]:
    """Yield the journal's files by number, from the folder of ``after`` on; what has another name is none of them."""
    first = f"{after // IN_A_FOLDER:09d}"
    folders = (each for each in listing("")[0] if FOLDER.fullmatch(each) and each >= first)
    for folder in sorted(folders, reverse=newest_first):
        for name in sorted(filter(NAME.fullmatch, listing(folder)[1]), reverse=newest_first):
            yield f"{folder}/{name}"


def listing(folder: str) -> tuple[list[str], list[str]]:
    """Return the folders and files of a folder of the storage; none where it is not there yet."""
    try:
        return storage().listdir(folder)
    except FileNotFoundError:
        return [], []


def sequence_of(name: str) -> int:
    return int(name.rpartition("/")[2][:12])


def uuid_of(name: str) -> UUID:
    return UUID(name.rpartition("/")[2][13:49])


def storage() -> Storage:
    return storages["journal"]
