"""Compare storage with the database, both ways, and report what has no counterpart."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage

from archival.models import BlobToDelete
from conversations.models import Blob
from web.alone import set_aside

YOUNG = timedelta(hours=24)
SUSPICIOUS = 100, 0.1  # so many orphans, and such a part of all files, come of another database and not of crashes
OURS = re.compile(r"[0-9]+/[0-9a-f]{32}(_[A-Za-z0-9]+)?")  # what Studio calls a file; a storage adds the end if need be


@dataclass
class Swept:
    """Keys in storage that no row names, and blobs whose bytes are not there."""

    orphans: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    deleted: int = 0
    is_suspicious: bool = False  # so many orphans: an older database, or another one, is in place


def sweep(*, now: datetime, delete: bool = False, ours_alone: bool = False) -> Swept:
    """List the storage once and the blobs once; nothing younger than 24 hours is looked at.

    An upload in progress has its file before its row, so a young file may be on its way. With ``delete`` orphans are
    deleted, each after one more look for its row; with ``ours_alone``, as without anybody who looks at them, only those
    that are called as Studio calls them, and none where they are suspiciously many.
    """
    found = Swept()
    before = now - YOUNG
    keys = set(stored_keys())
    known = set(Blob.objects.values_list("key", flat=True)) | set(BlobToDelete.objects.values_list("key", flat=True))
    for key in sorted(keys - known):
        if is_old(key, before) and not has_row(key):
            found.orphans.append(key)
    most, share = SUSPICIOUS
    found.is_suspicious = len(found.orphans) > most and len(found.orphans) > share * len(keys)
    for key in found.orphans if delete and not (ours_alone and found.is_suspicious) else ():
        if (OURS.fullmatch(key) or not ours_alone) and not has_row(key):
            with set_aside("A file without a row"):
                default_storage.delete(key)
                found.deleted += 1
    old = Blob.objects.filter(created_at__lt=before).order_by("key").values_list("key", flat=True)
    found.missing = [key for key in old if key not in keys and not default_storage.exists(key)]
    return found


def has_row(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:  # a name of odd bytes, which no row can have
        return False
    return Blob.objects.filter(key=key).exists()


def is_old(key: str, before: datetime) -> bool:
    """Tell whether a file was last written before that; one that has gone meanwhile is not."""
    try:
        return default_storage.get_modified_time(key) <= before
    except Exception:  # each storage has an error of its own for what is not there
        if default_storage.exists(key):
            raise
        return False


def stored_keys(folder: str = "") -> Iterator[str]:
    """Yield every key in storage but those of the journal. Links are neither told nor followed.

    What lies behind one has another name here than its row knows, or is none of ours.
    """
    try:
        folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    prefix = f"{folder}/" if folder else ""
    yield from (prefix + name for name in files if name and not is_link(prefix + name))
    for name in folders:
        # The journal may lie beside the files of a bucket, and no row names it.
        if prefix + name != settings.JOURNAL_FOLDER and not is_link(prefix + name):
            yield from stored_keys(prefix + name)


def is_link(key: str) -> bool:
    try:
        return Path(default_storage.path(key)).is_symlink()
    except NotImplementedError:  # a bucket has neither paths nor links
        return False
