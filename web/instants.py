"""Instants as programs send them."""

from datetime import UTC, datetime


def instant(value: object) -> datetime:
    """Read ISO 8601 with an offset into UTC. Raises ``ValueError`` for anything else, a time without offset too."""
    if not isinstance(value, str):
        raise ValueError("not a text")
    read = datetime.fromisoformat(value)
    if read.utcoffset() is None:
        raise ValueError("no offset")
    try:
        return read.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the calendar") from error
