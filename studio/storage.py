"""Where attachments lie in a deployment that asks for S3."""

from botocore.exceptions import ClientError
from storages.backends.s3 import S3Storage
from storages.utils import clean_name

ALREADY_GONE = "NoSuchKey"


class Bucket(S3Storage):  # type: ignore[misc]
    """S3 that does not take a missing bucket for a missing file.

    The library calls every 404 a success. With a wrong bucket in the settings files would count as deleted that lie
    where they always lay.
    """

    def delete(self, name: str) -> None:
        try:
            self.bucket.Object(self._normalize_name(clean_name(name))).delete()
        except ClientError as error:
            if error.response["Error"]["Code"] != ALREADY_GONE:
                raise
