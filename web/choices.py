"""Constants of the web room."""

from datetime import timedelta

from django.db import models


class DeliveryKind(models.TextChoices):
    """What is to be done with the body of a delivery."""

    MAIL = "mail"
    TASK = "task"


class DeliveryState(models.TextChoices):
    """Where a delivery stands; all but the first are final, and its body is deleted."""

    WAITING = "waiting"
    DONE = "done"  # the mail was accepted by the mail server, the task ran
    REFUSED = "refused"
    EXPIRED = "expired"  # its code or link ended before it could leave
    WITHDRAWN = "withdrawn"  # another took its place, or what it speaks of ended


FIRST_DELAY = timedelta(seconds=15)  # each further try waits twice as long
LONGEST_DELAY = timedelta(hours=1)
DELIVERIES_KEPT = timedelta(days=30)  # without their bodies, once they have ended
DELIVERY_ALARM_AFTER = timedelta(hours=1)
