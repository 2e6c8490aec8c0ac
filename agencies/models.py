"""The figures of compliance, stored once a day, and reminders to people without a second factor."""

from django.conf import settings
from django.db import models

from environments.models import Organisation
from web.clock import in_calendar


class ComplianceDay(models.Model):
    """The figures of compliance of an organisation above environments on a UTC day, by name, without zeros."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="compliance_days", db_index=False)
    day = models.DateField()
    figures = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "day"], name="one_compliance_day_per_organisation"),
        ]

    def __str__(self) -> str:
        return f"{self.organisation_id}: {self.day}"


class FactorReminder(models.Model):
    """When somebody was last reminded by mail to set up a second factor."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="factor_reminder")
    reminded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=in_calendar("reminded_at"), name="factor_reminder_is_in_the_calendar")
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.reminded_at:%Y-%m-%d}"
