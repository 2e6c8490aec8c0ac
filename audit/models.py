"""The append-only audit log.

Events have no foreign keys, so they outlive what they name; a trigger refuses updates and deletes.
"""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

from web.clock import in_calendar


class EventQuerySet(models.QuerySet["Event"]):
    def latest_first(self) -> "EventQuerySet":
        return self.order_by("-at", "-pk")


class Event(models.Model):
    """One line of the audit log. Labels are as they were at that time."""

    class ActorKind(models.TextChoices):
        PERSON = "person"
        KEY = "key"
        SYSTEM = "system"

    at = models.DateTimeField(default=timezone.now, db_index=True)
    action = models.CharField(max_length=80)  # noun and past: "retention.changed"
    actor_kind = models.CharField(max_length=10, choices=ActorKind)
    actor_id = models.BigIntegerField(null=True)  # of a user, or of a key
    actor_label = models.CharField(max_length=320)
    impersonator_id = models.BigIntegerField(null=True)
    impersonator_label = models.CharField(max_length=320, blank=True)
    organisation_id = models.BigIntegerField(null=True)
    organisation_label = models.CharField(max_length=255, blank=True)
    subject_kind = models.CharField(max_length=40, blank=True)  # "user", "membership", …: what it was done to
    subject_id = models.BigIntegerField(null=True)
    subject_label = models.CharField(max_length=320, blank=True)
    before = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=36, blank=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=in_calendar("at"), name="event_is_in_the_calendar")]
        indexes = [
            models.Index(fields=["organisation_id", "-at"], name="event_organisation"),
            models.Index(fields=["actor_id", "-at"], name="event_actor"),
            models.Index(fields=["subject_kind", "subject_id", "-at"], name="event_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_label} {self.action}"
