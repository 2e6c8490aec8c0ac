"""The journal: signed files outside the database that record what was deleted and how long data is kept.

Each deletion or change adds an entry in its own transaction (``add_entry``). After the commit, ``write_entries`` writes
the entry as a signed file to the journal's storage, numbered in the order of writing. A database without the latest
entry is an older one that was restored: ``manage.py reapply_purges`` then repeats the entries that it lacks. Entries
hold ids and cutoffs, never content, and are kept as long as receipts.
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
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from archival.choices import JournalKind, RunPurpose, RunState
from archival.journal import signing
from archival.journal.receipt_file import NotAuthentic, verify
from archival.models import Erasure, Hold, JournalEntry, PolicyChange, PurgeRun
from environments.models import Organisation
from environments.policies.retention import Retention
from web.alone import set_aside
from web.locks import lock_until_commit

logger = logging.getLogger(__name__)

JOURNAL_LOCK = 0x4A_4F_55_52_4E_41_4C  # one writer at a time
NAME = re.compile(r"[0-9]{12}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.json")
FOLDER = re.compile(r"[0-9]{9}")
IN_A_FOLDER = 1000  # files, so that the latest is found by two short listings
AT_ONCE = 500
DOWN_AFTER = 5  # failures in a row
RESTORED = gettext_lazy(
    "An older database was restored: the journal of purges has entries that it lacks. Run manage.py reapply_purges."
)


@dataclass(frozen=True)
class WrittenEntry:
    """One entry, as read from the journal's storage."""

    sequence: int
    uuid: UUID
    at: datetime
    kind: str
    payload: dict[str, Any]


class DeletedByBatch(Protocol):
    """The ids of what one batch deleted in one environment: items older than ``cutoff``."""

    cutoff: datetime
    gone: list[int]  # conversations, with everything in them
    left: dict[int, datetime]  # conversations with items left, and the instant of the oldest of these
    parts: dict[int, str]  # for conversations that still have items past the cutoff: the seqs of deleted messages
    contacts: list[int]


def add_entry(kind: JournalKind, payload: dict[str, Any], *, at: datetime) -> None:
    """Store an entry in the caller's transaction, and try to write its file after the commit.

    If that fails, the task of the next minute tries again.
    """
    JournalEntry.objects.create(kind=kind, payload=payload, at=at)
    transaction.on_commit(try_to_write_entries, robust=True)


def add_run_entry(run: PurgeRun, *, left_out: Collection[int] = ()) -> None:
    """Add an entry with the cutoffs of a run of the purge, for the environments where it left nothing older.

    If that is every environment of the run, the entry says all that the entries of its batches say, so those without a
    file yet are deleted. They are kept if something older is left, because only they say what was deleted: something
    was held or locked, the limit was lifted meanwhile, an environment failed (the ids ``left_out``), or the run stopped
    at its maximum. They are also kept for a run with another purpose, and for a run that is not done.
    """
    if run.state != RunState.DONE or run.purpose != RunPurpose.POLICY or not run.rows:
        return
    receipts = run.receipts.filter(is_guarded=False).exclude(environment__in=list(left_out))
    receipts = receipts.filter(Q(oldest_after=None) | Q(oldest_after__gte=F("cutoff")))
    receipts = receipts.select_related("environment").order_by("pk")
    acted = [
        {**identify(receipt.environment), "cutoff": receipt.cutoff.isoformat()} for receipt in receipts if receipt.rows
    ]
    is_whole = len(acted) == sum(1 for receipt in run.receipts.all() if receipt.rows)
    waiting = JournalEntry.objects.filter(sequence=None)
    if is_whole and not waiting.exclude(kind=JournalKind.BATCH).exists() and has_no_waiting_file():
        waiting.filter(kind=JournalKind.BATCH, payload__run=run.pk).delete()
    add_entry(JournalKind.RUN, {"run": run.pk, "environments": acted}, at=run.as_of)


def has_no_waiting_file() -> bool:
    """Lock writers out until the transaction ends; return whether storage has no file of an entry that waits.

    An entry must not be deleted once a crash or another writer has left its file: the database would then look like an
    older one.
    """
    lock_writers()
    try:
        latest = next(map(sequence_of, file_names(newest_first=True)), 0)
    except Exception as error:  # storage backends raise what they like; the entries are then written later
        logger.warning("The journal's storage could not be listed: %s", type(error).__name__)
        return False
    return latest <= known_sequence()


def lock_writers() -> None:
    lock_until_commit(JOURNAL_LOCK)


def add_batch_entry(run: PurgeRun, deleted: Mapping[int, DeletedByBatch]) -> None:
    """Add an entry with the ids of what one batch deleted in each environment; a later task writes its file."""
    named = Organisation.objects.values_list("pk", "created_at", "slug", named=True)
    organisations = {each.pk: each for each in named.filter(pk__in=list(deleted))}
    acted = [
        {
            **identify(organisations[pk]),
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


def add_erasure_entry(erasure: Erasure) -> None:
    add_entry(
        JournalKind.ERASURE,
        {**identify(erasure.environment), "contact": str(erasure.contact_uuid)},
        at=erasure.erased_at,
    )


def add_policy_entry(organisation: Organisation, *, at: datetime) -> None:
    """Add an entry with the organisation's own retention after a change."""
    own = Retention.of(organisation)
    policy = {"archival": own.archival, "days": own.days, "locked": own.locked}
    add_entry(JournalKind.POLICY, {**identify(organisation), **policy}, at=at)


def add_move_entry(organisation: Organisation, *, to: Organisation | None, at: datetime) -> None:
    add_entry(JournalKind.MOVE, {**identify(organisation), "to": identify(to) if to else None}, at=at)


def add_change_entry(change: PolicyChange) -> None:
    """Add an entry of the end of a pending change, so that a restored database does not apply it again."""
    add_entry(
        JournalKind.CHANGE, {"change": str(change.uuid), "state": change.state}, at=change.ended_at or timezone.now()
    )


def add_hold_entry(hold: Hold) -> None:
    """Add an entry of a hold, without its reason, which can name a person."""
    covered = {
        "contact": str(hold.contact.uuid) if hold.contact else None,
        "conversation": str(hold.conversation.uuid) if hold.conversation else None,
        "until": hold.until.isoformat() if hold.until else None,
    }
    add_entry(JournalKind.HOLD, {**identify(hold.environment), "hold": str(hold.uuid), **covered}, at=hold.placed_at)


def add_deletion_entry(organisation: Organisation, *, at: datetime) -> None:
    add_entry(JournalKind.DELETION, identify(organisation), at=at)


def add_release_entry(hold: Hold) -> None:
    add_entry(JournalKind.RELEASE, {"hold": str(hold.uuid)}, at=hold.released_at or timezone.now())


class Identified(Protocol):
    """An organisation, or a row with the columns that identify it in an entry."""

    pk: int
    created_at: datetime
    slug: str


def identify(organisation: Identified) -> dict[str, Any]:
    """Return the keys that identify an organisation in an entry; a restored database can use an id again."""
    created_at = organisation.created_at.isoformat()
    return {"organisation": organisation.pk, "created_at": created_at, "slug": organisation.slug}


def ranges_of(numbers: str) -> list[tuple[int, int]]:
    """Return the first and last number of each range of consecutive numbers in a PostgreSQL array such as {1,2,5}."""
    each = sorted(json.loads(f"[{numbers[1:-1]}]"))
    if each[-1] - each[0] == len(each) - 1:
        return [(each[0], each[-1])]  # nearly always
    gaps = [at for at in range(1, len(each)) if each[at] != each[at - 1] + 1]
    return [(each[first], each[last - 1]) for first, last in pairwise([0, *gaps, len(each)])]


def organisation_of(payload: dict[str, Any]) -> Organisation | None:
    """Return the organisation of an entry, or ``None`` if this database does not have it."""
    created_at = datetime.fromisoformat(payload["created_at"])
    return Organisation.objects.filter(pk=payload["organisation"], created_at=created_at).first()


def try_to_write_entries() -> None:
    """Write the waiting entries, and log an error instead of raising it; the task of the next minute tries again."""
    try:
        write_entries()
    except Exception as error:  # storage backends raise what they like; what the entries record is committed
        logger.error("The journal could not be written: %s. Its entries wait in the database.", error)


def write_entries() -> int:
    """Write the files of up to 500 waiting entries, in one transaction, and return how many were written.

    Writes nothing while the database is an older one, until ``reapply_purges`` has run. Writes a file again that was
    written before a crash. An entry that fails waits for the next call, and the others go on; after five failures in a
    row it stops, since storage is then down.
    """
    with transaction.atomic():
        lock_writers()
        waiting = list(JournalEntry.objects.filter(sequence=None).order_by("pk")[:AT_ONCE])
        if not waiting or database_is_older():
            return 0
        known = known_sequence()
        written = failures = 0
        for entry in waiting:
            sequence, failures = known + written + 1, failures + 1
            with set_aside(f"Entry {entry.pk} of the journal"), transaction.atomic():
                write_file(sequence, entry)
                entry.sequence, entry.payload = sequence, None
                entry.save(update_fields=["sequence", "payload"])
                written, failures = written + 1, 0
            if failures == DOWN_AFTER:
                break
    return written


def write_file(sequence: int, entry: JournalEntry) -> None:
    """Write the entry as a signed file with this number; replaces a file that a crash left."""
    statement = {
        "journal": sequence,
        "uuid": str(entry.uuid),
        "at": entry.at.isoformat(),
        "kind": entry.kind,
        "payload": entry.payload,
    }
    name = f"{sequence // IN_A_FOLDER:09d}/{sequence:012d}-{entry.uuid}.json"
    if storage().exists(name):
        storage().delete(name)
    storage().save(name, ContentFile(signing.sign(statement, now=timezone.now()).encode()))


def database_is_older() -> bool:
    """Return whether this database lacks the journal's latest entry, as after a restore; two listings and one query."""
    latest = next(file_names(newest_first=True), None)
    return latest is not None and not JournalEntry.objects.filter(uuid=uuid_of(latest)).exists()


def known_sequence() -> int:
    return JournalEntry.objects.aggregate(last=Max("sequence", default=0))["last"]


def missing_entries() -> list[WrittenEntry]:
    """Return the entries that this database lacks, each once, in the order in which they happened.

    Raises ``NotAuthentic`` with the name of a file that Studio did not sign, since entries lead to deletions. If a
    crash left two files of one entry, the file with the later number counts.
    """
    later = file_names_after(known_sequence())
    known = set(JournalEntry.objects.filter(uuid__in=map(uuid_of, later)).values_list("uuid", flat=True))
    lacking = {entry.uuid: entry for entry in map(read_entry, later) if entry.uuid not in known}
    return sorted(lacking.values(), key=attrgetter("sequence"))


def lines_of_missing_files() -> list[str]:
    """Return one line for each file that is missing from the journal, whose numbers have no gaps."""
    known = known_sequence()
    latest = next(map(sequence_of, file_names(newest_first=True)), 0)
    present = set(map(sequence_of, file_names_after(known)))
    missing = [number for number in range(known + 1, latest) if number not in present]
    lines = [_("%(number)s: its file is missing") % {"number": number} for number in missing]
    if latest < known:
        ends = _(
            "the journal ends with %(latest)s, but this database has %(known)s: check that it is the right journal"
        )
        lines.append(ends % {"latest": latest, "known": known})
    return lines


def file_names_after(known: int) -> list[str]:
    return [name for name in file_names(after=known) if sequence_of(name) > known]


def read_entry(name: str) -> WrittenEntry:
    """Return the entry in a file. Raises ``NotAuthentic`` unless Studio signed the file under this name."""
    with storage().open(name) as opened:
        document = opened.read()
    try:
        statement = verify(document.decode(), signing.public_keys())
    except (NotAuthentic, UnicodeDecodeError) as error:
        raise NotAuthentic(f"{name}: {error}") from error
    if (statement.get("journal"), statement.get("uuid")) != (sequence_of(name), str(uuid_of(name))):
        raise NotAuthentic(f"{name}: Its content belongs to another file name.")
    at = datetime.fromisoformat(statement["at"])
    return WrittenEntry(statement["journal"], uuid_of(name), at, statement["kind"], statement["payload"])


def file_names(*, newest_first: bool = False, after: int = 0) -> Iterator[str]:
    """Yield the names of the journal's files by number, beginning with the folder that has the number ``after``."""
    first = f"{after // IN_A_FOLDER:09d}"
    folders = (each for each in list_folder("")[0] if FOLDER.fullmatch(each) and each >= first)
    for folder in sorted(folders, reverse=newest_first):
        for name in sorted(filter(NAME.fullmatch, list_folder(folder)[1]), reverse=newest_first):
            yield f"{folder}/{name}"


def list_folder(folder: str) -> tuple[list[str], list[str]]:
    """Return the folders and the files in a folder of the storage; none if it does not exist yet."""
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
