"""The model of journal entries, written and waiting."""

import uuid

from django.db import models
from django.db.models import Q

from archival.choices import JournalKind
from web.clock import in_calendar


class JournalEntry(models.Model):
    """One entry of the journal. The row has the payload until its file is written, then only the file has it."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    sequence = models.BigIntegerField(null=True, unique=True)  # None: waits to be written
    at = models.DateTimeField()
    kind = models.CharField(max_length=64, choices=JournalKind)  # entries with kinds of a later release are kept too
    payload = models.JSONField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=in_calendar("at"), name="entry_is_in_the_calendar"),
            models.CheckConstraint(
                condition=Q(sequence__isnull=False) | Q(payload__isnull=False), name="entry_is_written_or_tells"
            ),
        ]
        indexes = [models.Index("id", name="journal_waiting", condition=Q(sequence=None))]

    def __str__(self) -> str:
        return f"{self.kind} {self.uuid}"
