"""Store files of attachments from a media folder, each content once per environment."""

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
from django.utils.translation import gettext as _

from conversations.ingest.lines import ParsedAttachment
from conversations.ingest.strict_json import Refused, quoted
from conversations.models import Blob
from environments.models import Organisation


class Content(NamedTuple):
    """A file of a media folder: its name there, the SHA-256 of its bytes in hexadecimal, and its size."""

    media: str
    sha256: str
    size: int


@dataclass
class MediaFolder:
    """The folder with the files of attachments. Only plain files directly in it are opened, no links."""

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
        """Return the content of the attachment's file, or ``None`` if it has none.

        Raises ``Refused``, with ``where`` in the reason, if there is no such file or it differs from the announced one.
        """
        if attachment.media is None:
            return None
        content = self._known.get(attachment.media) or self._read(attachment.media, where)
        self._known[attachment.media] = content
        if attachment.sha256 not in (None, content.sha256):
            raise Refused(_("%(path)s differs from that of the file") % {"path": f"{where}.sha256"})
        if attachment.size != content.size:
            raise Refused(
                _("%(path)s differs from that of the file, which has %(size)s bytes")
                % {"path": f"{where}.size", "size": content.size}
            )
        return content

    def _read(self, name: str, where: str) -> Content:
        try:
            with self.open(name) as opened:
                return Content(
                    name, hashlib.file_digest(opened, "sha256").hexdigest(), os.fstat(opened.fileno()).st_size
                )
        except OSError:
            raise Refused(
                _("%(path)s: no file %(name)s in the media folder") % {"path": f"{where}.media", "name": quoted(name)}
            ) from None


def hold_blob(environment: Organisation, content: Content, folder: MediaFolder, *, now: datetime) -> tuple[int, str]:
    """Return the id of the environment's blob with this content, stored if it is new, and the key of a new file.

    Call it in a transaction: until that ends nobody deletes the blob. The worker that empties the outbox locks the row
    before it looks for references, so either it waits for this transaction, or this waits for its deletion and stores
    the file anew. The key is random, never made from a name. If the transaction fails, the caller deletes the file.
    """
    while True:
        with connection.cursor() as cursor:
            key = f"{environment.pk}/{uuid.uuid4().hex}"
            cursor.execute(_INSERT, [environment.pk, content.sha256, key, content.size, now])
            if inserted := cursor.fetchone():
                with folder.open(content.media) as opened:
                    saved = default_storage.save(key, File(opened))
                if saved != key:
                    Blob.objects.filter(pk=inserted[0], environment=environment).update(key=saved)
                return inserted[0], saved
            cursor.execute(_SHARE, [environment.pk, content.sha256])
            if shared := cursor.fetchone():
                return shared[0], ""


_INSERT = """
INSERT INTO conversations_blob (environment_id, sha256, key, size, created_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (environment_id, sha256) DO NOTHING RETURNING id
"""
_SHARE = "SELECT id FROM conversations_blob WHERE environment_id = %s AND sha256 = %s FOR KEY SHARE"
