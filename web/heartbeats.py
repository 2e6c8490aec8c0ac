"""Heartbeats that worker and beat store in the database, for health checks and monitoring."""

import logging
import socket
import time
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from web.clock import MOST_APART, database_now
from web.models import Heartbeat

logger = logging.getLogger(__name__)

EVERY_SECONDS = 20.0
ALIVE_FOR = timedelta(minutes=2)  # after its last heartbeat
KEPT_FOR = timedelta(days=1)  # then the machine is gone for good
PROCESSES = ("worker", "beat")


@dataclass
class Heart:
    """Stores the heartbeats of one process, at most one in its interval."""

    process: str
    left_at: float = -inf  # by the monotonic clock

    def beat(self, **_signal: Any) -> None:
        """Store a heartbeat if one is due; a database that is down is only logged."""
        if time.monotonic() - self.left_at < EVERY_SECONDS:
            return
        self.left_at = time.monotonic()
        try:
            leave_heartbeat(self.process)
        except DatabaseError as error:
            logger.warning("The heartbeat could not be left: %s", type(error).__name__)
        finally:
            connection.close()  # the worker's children must not inherit it


@transaction.atomic
def leave_heartbeat(process: str) -> None:
    """Store that the process is alive on this machine, and how far its clock is ahead of the database's."""
    now = database_now()
    ahead = (timezone.now() - now).total_seconds()
    Heartbeat.objects.bulk_create(
        [Heartbeat(process=process, host=socket.gethostname()[:255], at=Now(), clock_ahead_seconds=ahead)],
        update_conflicts=True,
        unique_fields=["process", "host"],
        update_fields=["at", "clock_ahead_seconds"],
    )
    Heartbeat.objects.filter(at__lt=now - KEPT_FOR).delete()


def is_alive_here(process: str) -> bool:
    """Return whether the process stored a heartbeat on this machine in the last two minutes."""
    mine = Heartbeat.objects.filter(process=process, host=socket.gethostname()[:255])
    now = database_now()
    return mine.filter(at__gt=now - ALIVE_FOR, at__lte=now + MOST_APART).exists()


worker = Heart("worker")
beat = Heart("beat")
