"""Files go after their attachments: the outbox is emptied here, each file once nothing refers to it any more."""

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
DOWN_AFTER = 5  # failures in a row: storage is down, and trying every file would take as many time-outs
LOOKED_FOR = 5  # files that must be in storage, of which one at least is


@dataclass
class Emptied:
    """What one go at the outbox did."""

    deleted: int = 0  # files that are gone from storage
    kept: int = 0  # rows dropped because something refers to the file again, or still
    failed: int = 0  # files that storage did not delete; they stay for another try


def delete_blobs(*, now: datetime) -> Emptied:
    """Delete from storage what the outbox names and nothing refers to; commits for every hundred rows.

    The blob's row goes first and its bytes after that commit, so nothing can ever refer to bytes that are gone; every
    row has a key of its own, so the same content may come again meanwhile. "Not found" counts as done. Any other error
    stays for a try after a growing delay (1, 2, 4 … 30 minutes), and five in a row end this go: the next one begins
    with files that were not tried. Safe beside itself and after a crash. Nothing is tried in another
    storage than the one that holds the files.
    """
    emptied = Emptied()
    if is_another_storage():
        emptied.failed = BlobToDelete.objects.filter(next_try_at__lte=now).values("key").distinct().count()
        logger.error("None of the latest files is in this storage: is it mounted here? No file is deleted.")
        return emptied
    last = failures = 0
    while rows := claim(now=now, after=last):
        last = rows[-1].pk
        ready = release_rows(rows, emptied)
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


def is_another_storage() -> bool:
    """Tell whether none of the latest files that must be there is: a folder that is not mounted, or another bucket.

    There every file is "not found" and would count as deleted, while its bytes stay where they are. With no file to
    look for nothing can be told, and a storage that does not answer says so for each file.
    """
    leaving = BlobToDelete.objects.filter(blob_id=OuterRef("pk"))
    keys = Blob.objects.filter(~Exists(leaving)).order_by("-pk").values_list("key", flat=True)[:LOOKED_FOR]
    try:
        return bool(keys) and not any(default_storage.exists(key) for key in keys)
    except Exception:  # storage backends raise what they like
        return False


def delete_file(key: str, *, now: datetime) -> bool:
    """Delete one file, whose blob has gone, and drop all its outbox rows, or leave them for later.

    Returns whether it is gone.
    """
    try:
        default_storage.delete(key)
    except FileNotFoundError:
        pass  # somebody was quicker: that is what we wanted
    except Exception as error:  # storage backends raise what they like; the row stays and says so
        postpone(key, error=error, now=now)
        return False
    BlobToDelete.objects.filter(key=key).delete()
    return True


def claim(*, now: datetime, after: int) -> list[BlobToDelete]:
    """Return the next rows whose time has come."""
    due = BlobToDelete.objects.filter(next_try_at__lte=now, pk__gt=after)
    return list(due.order_by("pk")[:AT_ONCE])


@transaction.atomic
def release_rows(rows: list[BlobToDelete], emptied: Emptied) -> list[BlobToDelete]:
    """Drop the blobs' rows where nothing refers to them, and the outbox rows of the others; return what may go.

    The outbox rows were read before the blobs are locked and their references counted: a row that comes later is
    handled later, so the last reference to go always finds its own row here.
    """
    blobs = list(Blob.objects.select_for_update().filter(pk__in={row.blob_id for row in rows}).order_by("pk"))
    attachments = Attachment.objects.filter(blob=OuterRef("pk"))
    in_use = set(
        Blob.objects.filter(Exists(attachments), pk__in=[blob.pk for blob in blobs]).values_list("pk", flat=True)
    )
    Blob.objects.filter(pk__in=[blob.pk for blob in blobs if blob.pk not in in_use]).delete()
    kept = [row.pk for row in rows if row.blob_id in in_use]
    BlobToDelete.objects.filter(pk__in=kept).delete()
    emptied.kept += len(kept)
    return [row for row in rows if row.blob_id not in in_use]


def postpone(key: str, *, error: Exception, now: datetime) -> None:
    """Leave the rows of a file for later, with a delay that doubles from try to try."""
    logger.warning("Storage did not delete a file (%s); it is tried again.", type(error).__name__)
    rows = BlobToDelete.objects.filter(key=key)
    tries = rows.aggregate(most=Max("try_count"))["most"] or 0
    delay = min(FIRST_DELAY * 2 ** min(tries, 10), LONGEST_DELAY)
    rows.update(try_count=tries + 1, next_try_at=now + delay, last_error=type(error).__name__)
