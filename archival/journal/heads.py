"""The end of the audit log's chain of seals, signed once a day and written to the journal's storage.

Who has rights in the database can cut the chain and have Studio seal other events after it, but not change these files.
They stand in a folder of their own, and no row says which there are. ``manage.py verify_audit`` compares them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from django.core.files.base import ContentFile

from archival.journal.entries import list_folder, storage
from archival.journal.receipt_file import NotAuthentic, verify
from archival.journal.signing import sign
from audit import signing
from audit.models import Seal
from audit.verification import SignedHead

FOLDER = "audit"
INSTANT = "%Y%m%dT%H%M%S%fZ"
STATEMENT = "audit_head"  # the member that no other signed file has
BEHIND = (
    "The audit log is not sealed: its chain lacks the head that the journal has. Run manage.py verify_audit; after a "
    "restore, run manage.py reapply_purges first."
)


def write_daily_head(*, now: datetime) -> bool:
    """Write the head of the chain unless that was done on this day in UTC; return whether it was written."""
    latest = latest_head()
    if latest and latest.at.date() >= now.astimezone(UTC).date():
        return False
    return write_head(now=now, is_restore=False)


def write_head_of_restore(*, now: datetime) -> bool:
    """Write that a backup was put back, if the chain lacks the head that was written last; return whether it was."""
    return is_behind() and write_head(now=now, is_restore=True)


def write_head(*, now: datetime, is_restore: bool) -> bool:
    """Write a signed file with the latest seal; without a seal nothing is written, except after a restore."""
    seal = Seal.objects.defer("leaves").order_by("-number").first()
    if seal is None and not is_restore:
        return False
    number = seal.number if seal else 0
    statement = {
        "seal": number,
        "hash": seal.hash if seal else "",
        "at": now.astimezone(UTC).isoformat(),
        "is_restore": is_restore,
    }
    name = f"{FOLDER}/{now.astimezone(UTC):{INSTANT}}-{number:012d}.json"
    storage().save(name, ContentFile(sign({STATEMENT: statement}, now=now).encode()))
    return True


def is_behind() -> bool:
    """Return whether the chain lacks the head that was written last: it was cut, or an older database was put back."""
    latest = latest_head()
    if latest is None or latest.number == 0:
        return False
    return not Seal.objects.filter(number=latest.number, hash=latest.hash).exists()


def latest_head() -> SignedHead | None:
    names = file_names()
    return read_head(names[-1]) if names else None


def read_heads() -> Iterator[SignedHead]:
    """Yield the heads in the order in which they were written. Raises ``NotAuthentic`` for a file without signature."""
    yield from map(read_head, file_names())


def read_head(name: str) -> SignedHead:
    """Return the head in a file. Raises ``NotAuthentic`` unless Studio's signing key signed it under this name.

    Keys that an older release derived from ``SECRET_KEY`` are not enough: it wrote no heads.
    """
    with storage().open(f"{FOLDER}/{name}") as opened:
        document = opened.read()
    where = f"{FOLDER}/{name}"
    try:
        statement = verify(document.decode(), signing.as_pem(signing.public_keys()))[STATEMENT]
        at = datetime.fromisoformat(statement["at"])
        head = SignedHead(statement["seal"], statement["hash"], at, where, statement["is_restore"])
    except (NotAuthentic, UnicodeDecodeError) as error:
        raise NotAuthentic(f"{where}: {error}") from error
    except KeyError as error:
        raise NotAuthentic(f"{where}: It is no head of the audit log.") from error
    if name != f"{head.at:{INSTANT}}-{head.number:012d}.json":
        raise NotAuthentic(f"{where}: Its content belongs to another file name.")
    return head


def file_names() -> list[str]:
    """Return the names of the files, which are in the order of time."""
    return sorted(name for name in list_folder(FOLDER)[1] if name.endswith(".json"))
