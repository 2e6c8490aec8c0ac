"""The base of all changes of settings that wait for their date."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from environments.choices import ScheduleState


class ScheduledChange(models.Model):
    """A change of a setting: schedule and history in one row. It takes effect at ``acts_at``, not before.

    A setting's own model adds ``organisation`` (without a constraint: the row outlives it), what it changes to, and the
    constraints; ``policies/scheduled.py`` finds and ends rows.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation_label = models.CharField(max_length=255, default="", db_default="")
    before = models.JSONField()  # the setting as JSON of the audit log, when the change was requested
    requested_at = models.DateTimeField(default=timezone.now)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    requested_label = models.CharField(max_length=320)
    acts_at = models.DateTimeField()
    # Whether a job that makes many changes has yet to announce it, with the others: until then it does not take effect.
    awaits_announcement = models.BooleanField(default=False, db_default=False)
    state = models.CharField(max_length=10, choices=ScheduleState, default=ScheduleState.PENDING)
    ended_at = models.DateTimeField(null=True)
    ended_label = models.CharField(max_length=320, blank=True)

    class Meta:
        abstract = True

    @property
    def is_pending(self) -> bool:
        return bool(self.state == ScheduleState.PENDING)
