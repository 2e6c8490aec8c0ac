"""The model of leases."""

from django.db import models

from web.clock import in_calendar


class Lease(models.Model):
    """The right of one process to do a kind of work; it expires, so that a process that died keeps nobody out."""

    name = models.CharField(max_length=64, primary_key=True)
    holder = models.CharField(max_length=255)  # host, process and a random part
    taken_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=in_calendar("taken_at", "expires_at"), name="lease_is_in_the_calendar")
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"
