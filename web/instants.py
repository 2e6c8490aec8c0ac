"""Parsing the times that programs send."""

from datetime import UTC, datetime


def instant(value: object) -> datetime:
    """Return an ISO 8601 time with offset in UTC. Raises ``ValueError`` for anything else, also without offset."""
    if not isinstance(value, str):
        raise ValueError("not a text")
    read = datetime.fromisoformat(value)
    if read.utcoffset() is None:
        raise ValueError("no offset")
    try:
        return read.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the calendar") from error
