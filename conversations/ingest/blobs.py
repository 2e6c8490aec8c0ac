"""Bytes of attachments: from a media folder into Django's storage, each content once per environment."""

import hashlib
import io
import os
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import connection

from conversations.ingest.lines import ParsedAttachment
from conversations.ingest.strict_json import Refused, shown
from conversations.models import Blob
from environments.models import Organisation


class Content(NamedTuple):
    """A file's bytes by their SHA-256 in hexadecimal; ``media`` is its name in the folder."""

    media: str
    sha256: str
    size: int


@dataclass
class MediaFolder:
    """The folder that ``media`` names files in. Only plain files directly in it are ever opened: no links."""

    path: Path
    _known: dict[str, Content] = field(default_factory=dict)

    def open(self, name: str) -> io.BufferedReader:
        descriptor = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        opened = os.fdopen(descriptor, "rb")
        if not (self.path / name).is_file():
            opened.close()
            raise OSError(f"{name} is not a plain file")
        return opened

    def find(self, attachment: ParsedAttachment, where: str) -> Content | None:
        """Return what the attachment's file holds, or None for one without. Raises ``Refused``.

        ``where`` names the attachment in the reason: there is no such file, or it is not what was announced.
        """
        if attachment.media is None:
            return None
        content = self._known.get(attachment.media) or self._read(attachment.media, where)
        self._known[attachment.media] = content
        if attachment.sha256 not in (None, content.sha256):
            raise Refused(f"{where}.sha256 is not that of the file")
        if attachment.size != content.size:
            raise Refused(f"{where}.size is not that of the file, which has {content.size} bytes")
        return content

    def _read(self, name: str, where: str) -> Content:
        try:
            with self.open(name) as opened:
                return Content(
                    name, hashlib.file_digest(opened, "sha256").hexdigest(), os.fstat(opened.fileno()).st_size
                )
        except OSError:
            raise Refused(f"{where}.media: no file {shown(name)} in the media folder") from None


def hold_blob(environment: Organisation, content: Content, folder: MediaFolder, *, now: datetime) -> tuple[int, str]:
    """Return the id of the environment's blob with this content, stored first if need be, and the key if it was.

    Call in a transaction: until its end nobody deletes the blob. The worker that empties the outbox locks the row
    before it checks for references, so either it waits for ours or we wait for its deletion and store anew. The key
    is random and never made from a name. Should the transaction fail, the caller deletes the file under the key.
    """
    while True:
        with connection.cursor() as cursor:
            key = f"{environment.pk}/{uuid.uuid4().hex}"
            cursor.execute(_INSERT, [environment.pk, content.sha256, key, content.size, now])
            if inserted := cursor.fetchone():
                with folder.open(content.media) as opened:
                    saved = default_storage.save(key, File(opened))
                if saved != key:
                    Blob.objects.filter(pk=inserted[0]).update(key=saved)
                return inserted[0], saved
            cursor.execute(_SHARE, [environment.pk, content.sha256])
            if shared := cursor.fetchone():
                return shared[0], ""


_INSERT = """
INSERT INTO conversations_blob (environment_id, sha256, key, size, created_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (environment_id, sha256) DO NOTHING RETURNING id
"""
_SHARE = "SELECT id FROM conversations_blob WHERE environment_id = %s AND sha256 = %s FOR KEY SHARE"
