"""Compare storage with the database: find files without a row, and rows without a file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage

from archival.models import BlobToDelete, ExportPart
from conversations.models import Blob
from web.alone import set_aside

YOUNG = timedelta(hours=24)
SUSPICIOUS = 100, 0.1  # more orphans, and a larger share of all files, come from another database
OURS = re.compile(r"[0-9]+/[0-9a-f]{32}(_[A-Za-z0-9]+)?")  # names that Studio gives; some storages add a suffix


@dataclass
class Swept:
    """The result of a sweep: keys in storage that no row refers to, and keys of blobs that storage does not have."""

    orphans: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    deleted: int = 0
    is_suspicious: bool = False  # so many orphans that this is an older database, or another one


def sweep_storage(*, now: datetime, delete: bool = False, ours_alone: bool = False) -> Swept:
    """Compare storage with the database, and with ``delete`` delete orphans; ignores files younger than 24 hours.

    Young files are ignored because an upload in progress stores its file before its row. Looks for the row once more
    before it deletes an orphan. With ``ours_alone`` it deletes only orphans with names that Studio gives, and none if
    there are suspiciously many.
    """
    swept = Swept()
    before = now - YOUNG
    keys = set(stored_keys())
    known = set(Blob.objects.values_list("key", flat=True)) | set(BlobToDelete.objects.values_list("key", flat=True))
    known |= set(ExportPart.objects.values_list("key", flat=True))
    for key in sorted(keys - known):
        if is_old(key, before) and not has_row(key):
            swept.orphans.append(key)
    most, share = SUSPICIOUS
    swept.is_suspicious = len(swept.orphans) > most and len(swept.orphans) > share * len(keys)
    for key in swept.orphans if delete and not (ours_alone and swept.is_suspicious) else ():
        if (OURS.fullmatch(key) or not ours_alone) and not has_row(key):
            with set_aside("A file without a row"):
                default_storage.delete(key)
                swept.deleted += 1
    old = Blob.objects.filter(created_at__lt=before).order_by("key").values_list("key", flat=True)
    swept.missing = [key for key in old if key not in keys and not default_storage.exists(key)]
    return swept


def has_row(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:  # invalid bytes, which no row can have
        return False
    return Blob.objects.filter(key=key).exists() or ExportPart.objects.filter(key=key).exists()


def is_old(key: str, before: datetime) -> bool:
    """Return whether a file was last written by that instant; ``False`` if it was deleted meanwhile."""
    try:
        return default_storage.get_modified_time(key) <= before
    except Exception:  # each storage has its own error for a missing file
        if default_storage.exists(key):
            raise
        return False


def stored_keys(folder: str = "") -> Iterator[str]:
    """Yield every key in storage, without the journal and without links.

    A file behind a link has another name than in its row, or does not belong to Studio.
    """
    try:
        folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    prefix = f"{folder}/" if folder else ""
    yield from (prefix + name for name in files if name and not is_link(prefix + name))
    for name in folders:
        # The journal can be in the same bucket, and no row refers to it.
        if prefix + name != settings.JOURNAL_FOLDER and not is_link(prefix + name):
            yield from stored_keys(prefix + name)


def is_link(key: str) -> bool:
    try:
        return Path(default_storage.path(key)).is_symlink()
    except NotImplementedError:  # a bucket has neither paths nor links
        return False
