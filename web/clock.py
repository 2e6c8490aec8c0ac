"""The database's clock, which all processes share: it alone decides what is old enough to be deleted."""

import logging
from datetime import UTC, datetime, timedelta
from typing import cast

from django.db import connection
from django.db.models import Q
from django.utils import timezone

logger = logging.getLogger(__name__)

MOST_APART = timedelta(minutes=1)
FIRST = datetime(1, 1, 1, tzinfo=UTC)  # what is stored lies between these two: no year BC, no infinity
LAST = datetime(9000, 1, 1, tzinfo=UTC)  # years enough before the calendar ends to add any limit
END = datetime.max.replace(tzinfo=UTC)


def in_calendar(*clocks: str) -> Q:
    """Return the condition that these columns hold instants that a calendar has; one that is null is fine."""
    return Q(*(Q((f"{clock}__range", (FIRST, LAST))) for clock in clocks))


class ClockDiffers(Exception):
    """The clock of this process is too far from the database's for a run that deletes."""


def database_now() -> datetime:
    """Return the instant in UTC by the database's clock, also in the middle of a transaction; one query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cast(datetime, cursor.fetchone()[0])


def agreed_now() -> datetime:
    """Return ``database_now()``, if this process agrees with it.

    Raises ``ClockDiffers`` where the two clocks are more than a minute apart: one of them is wrong, and which one it
    is must not be guessed by what deletes.
    """
    by_database, here = database_now(), timezone.now()
    if abs(here - by_database) > MOST_APART:
        raise ClockDiffers(
            f"This machine's clock says {here:%Y-%m-%d %H:%M:%S} UTC, the database's {by_database:%Y-%m-%d %H:%M:%S} "
            "UTC. Nothing is deleted until they agree: set the wrong one right."
        )
    return by_database


def agreed_now_or_none() -> datetime | None:
    """Return ``agreed_now()`` for a task, which logs an error and does nothing where the clocks differ: then None."""
    try:
        return agreed_now()
    except ClockDiffers as error:
        logger.error("%s", error)
        return None


def is_ahead(at: datetime | None, *, now: datetime) -> bool:
    """Tell whether an instant that was written down lies in the future: a clock was wrong when it was, or is now."""
    return at is not None and at - now > MOST_APART
