"""The model of the outbox of files to delete."""

from collections.abc import Iterable
from datetime import datetime

from django.db import models
from django.db.models.functions import Now

from conversations.models import Blob
from web.clock import in_calendar

NO_BLOB = 0  # the id of no row


class OutboxQuerySet(models.QuerySet["BlobToDelete"]):
    def add(self, blobs: Iterable[Blob], *, now: datetime) -> None:
        """Queue the files of these blobs for deletion at ``now`` or later."""
        rows = (
            self.model(
                blob_id=blob.pk,
                key=blob.key,
                environment_id=blob.environment_id,
                size=blob.size,
                queued_at=now,
                next_try_at=now,
            )
            for blob in blobs
        )
        self.bulk_create(rows, batch_size=1000)

    def add_file(self, key: str, *, environment_id: int, size: int, now: datetime) -> None:
        """Queue a file that no attachment refers to."""
        self.create(blob_id=NO_BLOB, key=key, environment_id=environment_id, size=size, queued_at=now, next_try_at=now)


class BlobToDelete(models.Model):
    """A file to delete, stored in the transaction that deleted an attachment with that file.

    Each such transaction adds its own row for a blob, so that none waits for another. The worker drops only rows that
    it read before it looked for references, so the row of the last reference is never lost.
    """

    blob_id = models.BigIntegerField()  # no foreign key: the blob's row is deleted before its bytes
    key = models.CharField(max_length=120)
    environment_id = models.BigIntegerField()
    size = models.BigIntegerField()
    queued_at = models.DateTimeField(db_default=Now())
    try_count = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(db_default=Now(), db_index=True)
    last_error = models.CharField(max_length=255, blank=True)

    objects = OutboxQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=in_calendar("queued_at", "next_try_at"), name="outbox_is_in_the_calendar")
        ]
        indexes = [
            models.Index("environment_id", name="outbox_environment"),
            models.Index("key", name="outbox_file"),
        ]

    def __str__(self) -> str:
        return self.key
