"""The database's clock, shared by all processes: only it decides what is old enough to delete."""

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
    """Return the condition that these columns are null or within the calendar of Python and people."""
    return Q(*(Q((f"{clock}__range", (FIRST, LAST))) for clock in clocks))


def null_exactly_while(clock: str, **state: str) -> Q:
    """Return the condition that this column is null in rows of ``state``, and in no others."""
    return Q(**state, **{clock: None}) | Q(~Q(**state), **{f"{clock}__isnull": False})


def cutoff(now: datetime, days: int) -> datetime:
    """Return the instant before which data is too old at ``now``: a day is 24 hours, in every time zone."""
    return now - timedelta(hours=24 * days)


class ClockDiffers(Exception):
    """The clock of this process is too far from the database's for a run that deletes."""


def database_now() -> datetime:
    """Return the current time of the database's clock in UTC, also in the middle of a transaction. One query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cast(datetime, cursor.fetchone()[0])


def agreed_now() -> datetime:
    """Return ``database_now()`` if the clock of this process agrees.

    Raises ``ClockDiffers`` if the clocks differ by more than a minute: one of them is wrong, and code that deletes must
    not guess which.
    """
    by_database, here = database_now(), timezone.now()
    if abs(here - by_database) > MOST_APART:
        raise ClockDiffers(
            f"This machine's clock says {here:%Y-%m-%d %H:%M:%S} UTC, the database's {by_database:%Y-%m-%d %H:%M:%S} "
            "UTC. Nothing is deleted until they agree: set the wrong one right."
        )
    return by_database


def agreed_now_or_none() -> datetime | None:
    """Return ``agreed_now()``, or log an error and return None if the clocks differ; for tasks."""
    try:
        return agreed_now()
    except ClockDiffers as error:
        logger.error("%s", error)
        return None


def is_ahead(at: datetime | None, *, now: datetime) -> bool:
    """Return whether a stored time is in the future: a clock was wrong then, or is now."""
    return at is not None and at - now > MOST_APART
