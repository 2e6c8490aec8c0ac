"""Models for all rooms: the outbox and heartbeats."""

import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from web.choices import DELIVERY_ALARM_AFTER, DeliveryKind, DeliveryState
from web.clock import in_calendar


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def waiting(self) -> Self:
        return self.filter(state=DeliveryState.WAITING)

    def due(self, now: datetime) -> Self:
        return self.waiting().filter(next_try_at__lte=now)

    def late(self, now: datetime) -> Self:
        """Narrow to what has waited so long that the mail server, broker or worker must be down."""
        return self.waiting().filter(queued_at__lt=now - DELIVERY_ALARM_AFTER)

    def end_deliveries(self, state: DeliveryState, *, now: datetime | Now) -> int:
        """Set the final state of waiting ones, delete their bodies, and return how many."""
        return self.waiting().update(state=state, ended_at=now, sealed=None)


class Delivery(models.Model):
    """A mail to one person, or a task, that leaves if and only if its transaction commits.

    ``sealed`` is the encrypted body, deleted once it has left. The row stays for a while to show what became of it.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)  # of a mail: its Message-ID
    kind = models.CharField(max_length=10, choices=DeliveryKind)
    name = models.CharField(max_length=100)  # of the mail's template, or of the task
    recipient = models.CharField(max_length=320, blank=True)
    about = models.CharField(max_length=100, blank=True)  # a later delivery about the same withdraws this one
    sealed = models.BinaryField(null=True)
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.WAITING)
    queued_at = models.DateTimeField(db_default=Now())
    next_try_at = models.DateTimeField(db_default=Now())
    tries = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=200, blank=True)  # of the last try, as the mail server put it
    expires_at = models.DateTimeField(null=True)  # of the code or link in it; None never expires
    ended_at = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("queued_at", "next_try_at", "expires_at", "ended_at"),
                name="delivery_is_in_the_calendar",
            ),
            models.CheckConstraint(condition=Q(kind__in=DeliveryKind.values), name="delivery_kind_is_known"),
            models.CheckConstraint(condition=Q(state__in=DeliveryState.values), name="delivery_state_is_known"),
            models.CheckConstraint(
                condition=Q(state=DeliveryState.WAITING, sealed__isnull=False, ended_at=None)
                | Q(~Q(state=DeliveryState.WAITING), sealed=None, ended_at__isnull=False),
                name="delivery_has_a_body_while_it_waits",
            ),
        ]
        indexes = [
            models.Index("next_try_at", name="delivery_due", condition=Q(state=DeliveryState.WAITING)),
            models.Index("about", name="delivery_about", condition=Q(state=DeliveryState.WAITING)),
            models.Index("ended_at", name="delivery_ended", condition=Q(ended_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"


class Heartbeat(models.Model):
    """The latest heartbeat of the worker or beat on one machine."""

    process = models.CharField(max_length=10)  # worker or beat
    host = models.CharField(max_length=255)
    at = models.DateTimeField()  # by the database's clock
    clock_ahead_seconds = models.FloatField()  # of the process's clock; negative: it is behind

    class Meta:
        constraints = [
            models.CheckConstraint(condition=in_calendar("at"), name="heartbeat_is_in_the_calendar"),
            models.UniqueConstraint(fields=["process", "host"], name="one_heartbeat_per_process_and_host"),
        ]

    def __str__(self) -> str:
        return f"{self.process} on {self.host}"
