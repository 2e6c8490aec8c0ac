"""Which environments each person opened last, for the switcher and the start page."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from environments.models.organisations import Organisation
from web.clock import in_calendar


class OpenedEnvironment(models.Model):
    """An environment that a person opened, and when last. It belongs to the person, so that it outlives log-out."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="opened_environments")
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    opened_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "organisation"], name="opened_once_per_person"),
            models.CheckConstraint(condition=in_calendar("opened_at"), name="opening_is_in_the_calendar"),
        ]
