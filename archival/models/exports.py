"""Models of exports of whole environments."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from archival.choices import ExportEnd, ExportState
from environments.models import Organisation
from web.clock import in_calendar, null_exactly_while


class EnvironmentExport(models.Model):
    """An export of one environment; any worker can continue it, and it outlives the environment."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    environment = models.ForeignKey(Organisation, models.DO_NOTHING, related_name="exports", db_constraint=False)
    environment_label = models.CharField(max_length=255)
    # Whose Administrators have access to it once the environment is deleted; null until then.
    parent = models.ForeignKey(Organisation, models.SET_NULL, null=True, related_name="+")
    requested_at = models.DateTimeField()
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    requested_label = models.CharField(max_length=320)
    state = models.CharField(max_length=9, choices=ExportState, default=ExportState.RUNNING)
    reason = models.CharField(max_length=8, choices=ExportEnd, blank=True, default="")  # why it failed or was deleted
    counted = models.JSONField()  # what there was when it was requested, with the keys of ``counts``
    counts = models.JSONField(default=dict)  # what its parts have, with the keys of ``conversations.export``
    missing_count = models.PositiveIntegerField(default=0)  # files that storage did not have
    too_long_count = models.PositiveIntegerField(default=0)  # conversations whose lines are too long to be imported
    place = models.JSONField(default=dict)  # where the next part begins
    written = models.PositiveIntegerField(default=0)  # conversations, with those of the part that is being written
    tries = models.PositiveSmallIntegerField(default=0)  # that an error of storage ended, since the latest part
    worked_at = models.DateTimeField()  # when it was requested, or its latest part was written or failed
    ended_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)  # when its files are deleted
    is_announced = models.BooleanField(default=False)  # whether whoever requested it was told how it ended

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("requested_at", "worked_at", "ended_at", "expires_at"),
                name="export_is_in_the_calendar",
            ),
            models.CheckConstraint(condition=Q(state__in=ExportState.values), name="export_state_is_known"),
            models.CheckConstraint(
                condition=null_exactly_while("ended_at", state=ExportState.RUNNING), name="export_is_running_or_ended"
            ),
            models.CheckConstraint(
                condition=~Q(state=ExportState.READY) | Q(expires_at__isnull=False), name="ready_export_expires"
            ),
            models.UniqueConstraint(
                fields=["environment"],
                condition=Q(state=ExportState.RUNNING),
                name="one_running_export_per_environment",
            ),
        ]

    def __str__(self) -> str:
        return self.environment_label

    @property
    def is_running(self) -> bool:
        return self.state == ExportState.RUNNING

    @property
    def is_ready(self) -> bool:
        return self.state == ExportState.READY

    @property
    def is_complete(self) -> bool:
        """Whether everything that could be read can be imported."""
        return not self.missing_count and not self.too_long_count


class ExportPart(models.Model):
    """One file of an export, in Django's default storage."""

    export = models.ForeignKey(EnvironmentExport, models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    key = models.CharField(max_length=120, unique=True)
    size = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["export", "number"], name="one_part_of_a_number")]

    def __str__(self) -> str:
        return self.key
