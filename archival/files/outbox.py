"""Delete the files in the outbox, once no attachment refers to them."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Exists, Max, OuterRef

from archival.models import BlobToDelete
from conversations.models import Attachment, Blob

logger = logging.getLogger(__name__)

AT_ONCE = 100  # outbox rows claimed in one transaction
FIRST_DELAY = timedelta(minutes=1)
LONGEST_DELAY = timedelta(minutes=30)
DOWN_AFTER = 5  # failures in a row mean that storage is down; each further file would wait for a time-out
FILES_LOOKED_FOR = 5  # how many of the latest files are looked for in storage


@dataclass
class Emptied:
    """Counts of what one call of ``delete_blobs`` did."""

    deleted: int = 0  # files deleted from storage
    kept: int = 0  # outbox rows dropped because an attachment refers to the file
    failed: int = 0  # files that storage did not delete; they are tried again


def delete_blobs(*, now: datetime) -> Emptied:
    """Delete the files in the outbox that no attachment refers to, and return counts; commits after every hundred rows.

    The row of a blob is deleted first and its bytes after that commit, so no row ever refers to missing bytes. Every
    blob has its own key, so the same content can be stored again meanwhile. "Not found" counts as deleted. After any
    other error the file is tried again after a growing delay (1, 2, 4 … 30 minutes); five errors in a row end this
    call. Any number of calls can run at the same time. Deletes nothing in the wrong storage.
    """
    emptied = Emptied()
    if is_wrong_storage():
        emptied.failed = BlobToDelete.objects.filter(next_try_at__lte=now).values("key").distinct().count()
        logger.error(
            "No file is deleted: storage has none of the latest files. Check that it is mounted and the right one."
        )
        return emptied
    last = failures = 0
    while rows := due_rows(now=now, after=last):
        last = rows[-1].pk
        ready = delete_unused_blobs(rows, emptied)
        for key in sorted({row.key for row in ready}):
            if delete_file(key, now=now):
                emptied.deleted += 1
                failures = 0
                continue
            emptied.failed += 1
            failures += 1
            if failures == DOWN_AFTER:
                return emptied
    return emptied


def is_wrong_storage() -> bool:
    """Return whether storage has none of the latest five files, such as a folder that is not mounted.

    In the wrong storage every file is "not found" and would count as deleted. Returns ``False`` if there are no files,
    and if storage raises an error, since each file then raises it again.
    """
    leaving = BlobToDelete.objects.filter(blob_id=OuterRef("pk"), environment_id=OuterRef("environment"))
    keys = Blob.objects.filter(~Exists(leaving)).order_by("-pk").values_list("key", flat=True)[:FILES_LOOKED_FOR]
    try:
        return bool(keys) and not any(default_storage.exists(key) for key in keys)
    except Exception:  # storage backends raise what they like
        return False


def delete_file(key: str, *, now: datetime) -> bool:
    """Delete one file and its outbox rows, or postpone them if storage fails; return whether it is deleted."""
    try:
        default_storage.delete(key)
    except FileNotFoundError:
        pass  # another process deleted it first
    except Exception as error:  # storage backends raise what they like; the row is kept with the error
        postpone_file(key, error=error, now=now)
        return False
    BlobToDelete.objects.filter(key=key).delete()
    return True


def due_rows(*, now: datetime, after: int) -> list[BlobToDelete]:
    """Return up to a hundred outbox rows that are due, with an id after ``after``."""
    due = BlobToDelete.objects.filter(next_try_at__lte=now, pk__gt=after)
    return list(due.order_by("pk")[:AT_ONCE])


@transaction.atomic
def delete_unused_blobs(rows: list[BlobToDelete], emptied: Emptied) -> list[BlobToDelete]:
    """Delete the ``Blob`` rows that no attachment refers to; return the outbox rows whose files can be deleted.

    Drops the outbox rows of blobs that are in use. The caller has read all ``rows`` before this locks the blobs and
    looks for references; a row added later stays for a later call, so the row of the last reference is never lost.
    """
    environments = {row.environment_id for row in rows}
    found = Blob.objects.filter(environment__in=environments, pk__in={row.blob_id for row in rows})
    locked = [blob.pk for blob in found.select_for_update().order_by("pk")]
    attachments = Attachment.objects.filter(blob=OuterRef("pk"), environment=OuterRef("environment"))
    blobs = Blob.objects.filter(environment__in=environments, pk__in=locked)
    in_use = set(blobs.filter(Exists(attachments)).values_list("pk", flat=True))
    blobs.exclude(pk__in=in_use)._raw_delete("default")
    kept = [row.pk for row in rows if row.blob_id in in_use]
    BlobToDelete.objects.filter(environment_id__in=environments, pk__in=kept).delete()
    emptied.kept += len(kept)
    return [row for row in rows if row.blob_id not in in_use]


def postpone_file(key: str, *, error: Exception, now: datetime) -> None:
    """Postpone the outbox rows of a file, with a delay that doubles with each try."""
    logger.warning("Storage did not delete a file (%s); it is tried again.", type(error).__name__)
    rows = BlobToDelete.objects.filter(key=key)
    tries = rows.aggregate(most=Max("try_count"))["most"] or 0
    delay = min(FIRST_DELAY * 2 ** min(tries, 10), LONGEST_DELAY)
    rows.update(try_count=tries + 1, next_try_at=now + delay, last_error=type(error).__name__)
