"""Turn a number of days into an instant: the same for reading, for the purge, and for what pages show of both."""

from datetime import datetime, timedelta


def cutoff(now: datetime, days: int) -> datetime:
    """Return the instant before which data is too old at ``now``: a day is 24 hours, in every time zone."""
    return now - timedelta(hours=24 * days)
