"""Models of deletions on request: of a contact, or of an organisation with all its data."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from archival.choices import ROWS, DeletionState, StopReason
from archival.models.runs import Counts, PurgeRun
from environments.models import Organisation
from web.clock import in_calendar, null_exactly_while


class Erasure(Counts):
    """The receipt of the erasure of one contact; it has no name."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    environment = models.ForeignKey(Organisation, models.DO_NOTHING, related_name="erasures", db_constraint=False)
    environment_label = models.CharField(max_length=255)
    contact_uuid = models.UUIDField()  # only a backup that still has the contact shows whose id this was
    erased_at = models.DateTimeField()
    erased_label = models.CharField(max_length=320)  # who did it

    class Meta:
        constraints = [models.CheckConstraint(condition=in_calendar("erased_at"), name="erasure_is_in_the_calendar")]

    def __str__(self) -> str:
        return str(self.uuid)


class Deletion(models.Model):
    """The deletion of one organisation; any worker can continue it, and it outlives the organisation."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(Organisation, models.DO_NOTHING, related_name="deletions", db_constraint=False)
    organisation_label = models.CharField(max_length=255)
    parent = models.ForeignKey(
        Organisation, models.SET_NULL, null=True, related_name="+"
    )  # whose administrators can see the deletion once the organisation is gone
    counted = models.JSONField()  # counts of what it would delete, with the keys of a receipt
    was_suspended = models.BooleanField()  # before the deletion began
    requested_at = models.DateTimeField()
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    requested_label = models.CharField(max_length=320)
    run = models.OneToOneField(PurgeRun, models.PROTECT, related_name="deletion")  # its receipt
    state = models.CharField(max_length=8, choices=DeletionState, default=DeletionState.RUNNING)
    reason = models.CharField(max_length=6, choices=StopReason, blank=True)
    ended_at = models.DateTimeField(null=True)
    ended_label = models.CharField(max_length=320, blank=True)  # who stopped it or reopened the organisation

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("requested_at", "ended_at"), name="deletion_is_in_the_calendar"
            ),
            models.CheckConstraint(condition=Q(state__in=DeletionState.values), name="deletion_state_is_known"),
            models.CheckConstraint(
                condition=null_exactly_while("ended_at", state=DeletionState.RUNNING),
                name="deletion_is_running_or_ended",
            ),
            models.UniqueConstraint(
                fields=["organisation"],
                condition=Q(state__in=[DeletionState.RUNNING, DeletionState.STOPPED]),
                name="one_open_deletion_per_organisation",
            ),
        ]

    def __str__(self) -> str:
        return self.organisation_label

    @property
    def row_count(self) -> int:
        """How many rows it was to delete when it was requested."""
        return sum(self.counted[kind] for kind in ROWS)
