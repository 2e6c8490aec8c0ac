"""The append-only audit log.

Events have no foreign keys, so they outlive what they name; a trigger refuses updates and deletes.
"""

from datetime import UTC

from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import TruncHour
from django.utils import timezone

from web.clock import in_calendar


class EventQuerySet(models.QuerySet["Event"]):
    def latest_first(self) -> "EventQuerySet":
        return self.order_by("-at", "-pk")

    def about_user(self, pk: int) -> "EventQuerySet":
        """Return what this user did, also as somebody else, and what was done to them."""
        did = models.Q(actor_kind=Event.ActorKind.PERSON, actor_id=pk) | models.Q(impersonator_id=pk)
        return self.filter(did | models.Q(subject_kind="user", subject_id=pk))


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
        constraints = [
            models.CheckConstraint(condition=in_calendar("at"), name="event_is_in_the_calendar"),
            models.UniqueConstraint(
                *("subject_id", "organisation_id", "action", "actor_kind", "actor_id", "impersonator_id"),
                TruncHour("at", tzinfo=UTC),
                condition=models.Q(action__endswith=".read") | models.Q(action__endswith=".downloaded"),
                nulls_distinct=False,
                name="one_read_an_hour",
            ),
        ]
        indexes = [
            models.Index(fields=["organisation_id", "-at"], name="event_organisation"),
            models.Index(fields=["actor_id", "-at"], name="event_actor"),
            models.Index(
                fields=["impersonator_id", "-at"],
                condition=models.Q(impersonator_id__isnull=False),
                name="event_impersonator",
            ),
            models.Index(fields=["subject_kind", "subject_id", "-at"], name="event_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_label} {self.action}"


class Seal(models.Model):
    """A batch of events that cannot change any more unnoticed, and a link of the chain; a trigger keeps it as it is.

    ``hash`` is over ``leaves``, the other columns and the hash of the seal before (``audit/sealing.py``).
    """

    number = models.BigIntegerField(primary_key=True)  # 1, 2, 3, … without gaps
    first_event = models.BigIntegerField()
    last_event = models.BigIntegerField()
    count = models.IntegerField()
    leaves = models.BinaryField()  # of each event: its id in 8 bytes, and the SHA-256 of its line
    sealed_at = models.DateTimeField()
    hash = models.CharField(max_length=64)  # SHA-256 in hexadecimal digits
    signed_with = models.CharField(max_length=16)  # the id of the key
    signature = models.BinaryField()

    class Meta:
        constraints = [models.CheckConstraint(condition=in_calendar("sealed_at"), name="seal_is_in_the_calendar")]

    def __str__(self) -> str:
        return f"{self.number}"


class SealingLimit(models.Model):
    """The one row that says up to which event seals can go once the transactions in ``writers`` have ended."""

    last_event = models.BigIntegerField()
    writers = ArrayField(models.CharField(max_length=40))  # virtual transaction ids

    def __str__(self) -> str:
        return f"{self.last_event}"
