"""The figures of compliance, stored once a day."""

from django.db import models

from environments.models import Organisation


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
