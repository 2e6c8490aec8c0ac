"""What people type into addresses and forms, and what programs send, read before a database sees it."""

from datetime import UTC, datetime


def is_digits(text: str) -> bool:
    """Return whether the text is ASCII digits alone; ``str.isdigit`` also takes those of other scripts, and "²"."""
    return text.isascii() and text.isdigit()


def whole_number(text: str, *, most_digits: int = 18) -> int | None:
    """Return the number that the text spells, or None for anything else; 18 digits always fit into a bigint."""
    return int(text) if is_digits(text) and len(text) <= most_digits else None


def without_nul(text: str) -> str:
    """Return the text without NUL characters, which PostgreSQL refuses."""
    return text.replace("\0", "")


def typed_words(text: str, *, longest: int = 200) -> str:
    """Return the words of a search or a message: without NUL, trimmed, at most ``longest`` characters."""
    return without_nul(text).strip()[:longest]


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
