"""What every room needs to have written down."""

from django.db import models


class Heartbeat(models.Model):
    """The last sign of life of the worker or beat of one machine."""

    process = models.CharField(max_length=10)  # worker or beat
    host = models.CharField(max_length=255)
    at = models.DateTimeField()  # by the database's clock
    clock_ahead_seconds = models.FloatField()  # of the process's clock; negative: it is behind

    class Meta:
        constraints = [models.UniqueConstraint(fields=["process", "host"], name="one_heartbeat_per_process_and_host")]

    def __str__(self) -> str:
        return f"{self.process} on {self.host}"
