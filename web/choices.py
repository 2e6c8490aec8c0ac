"""Constants of the web room."""

from datetime import timedelta

from django.db import models


class DeliveryKind(models.TextChoices):
    """What the body of a delivery is: a mail or a task."""

    MAIL = "mail"
    TASK = "task"


class DeliveryState(models.TextChoices):
    """State of a delivery; all but the first are final, and delete the body."""

    WAITING = "waiting"
    DONE = "done"  # the mail was accepted by the mail server, the task ran
    REFUSED = "refused"
    EXPIRED = "expired"  # its code or link ended before it could leave
    WITHDRAWN = "withdrawn"  # a newer one replaced it, or its subject ended


FIRST_DELAY = timedelta(seconds=15)  # each further try waits twice as long
LONGEST_DELAY = timedelta(hours=1)
DELIVERIES_KEPT = timedelta(days=30)  # without their bodies, once they have ended
DELIVERY_ALARM_AFTER = timedelta(hours=1)
