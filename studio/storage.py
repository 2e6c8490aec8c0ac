"""The storages of attachments and of the journal: a folder, or S3."""

import os
import secrets
from pathlib import Path

from botocore.exceptions import ClientError
from django.core.files import File
from django.core.files.storage import FileSystemStorage
from storages.backends.s3 import S3Storage
from storages.utils import clean_name

ALREADY_GONE = "NoSuchKey"


class Folder(FileSystemStorage):
    """A folder in which every file is complete, also when the disk is full or the machine stops."""

    def _save(self, name: str, content: File) -> str:
        unfinished = f"{name}.{secrets.token_hex(4)}.unfinished"
        try:
            super()._save(unfinished, content)  # type: ignore[misc] # the stubs leave it out
            with open(self.path(unfinished), "rb") as written:
                os.fsync(written.fileno())  # some disks say only now that they are full
            Path(self.path(unfinished)).rename(self.path(name))
        except BaseException:
            Path(self.path(unfinished)).unlink(missing_ok=True)
            raise
        return name


class Bucket(S3Storage):  # type: ignore[misc]
    """S3 storage whose ``delete`` fails if the bucket is missing.

    The library takes every 404 for success. With a wrong bucket in the settings, files would count as deleted and still
    exist.
    """

    def delete(self, name: str) -> None:
        try:
            self.bucket.Object(self._normalize_name(clean_name(name))).delete()
        except ClientError as error:
            if error.response["Error"]["Code"] != ALREADY_GONE:
                raise
