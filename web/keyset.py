"""Long lists in slices by the keys of their rows, so that each costs the same however far down it is.

Django's ``Paginator`` counts and skips rows. Django REST framework's ``CursorPagination`` keeps one position and skips
the rows that share it, a thousand at most; an import makes more conversations of one instant. Where its one key is
unique, as a message's number is, it is used (``conversations/api.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Generic, TypeVar

from django.db import models
from django.db.models import F, Q, QuerySet
from django.utils.dateparse import parse_datetime

from web.typed import whole_number

Row = TypeVar("Row", bound=models.Model)


@dataclass
class Slice(Generic[Row]):
    """Some rows of a long list, and the cursors of what lies before and after them (None: nothing)."""

    rows: Sequence[Row]
    newer: str | None = None
    older: str | None = None


def slice_of(
    found: QuerySet[Row], keys: Sequence[str], size: int, /, *, newer_than: str = "", older_than: str = ""
) -> Slice[Row]:
    """Cut ``size`` rows, the newest first by ``keys``: instants, and last the primary key.

    The cursors are those that an earlier slice gave; one that makes no sense is the beginning.
    """
    upwards = bool(cursor := _read_cursor(newer_than, len(keys)))
    cursor = cursor or _read_cursor(older_than, len(keys))
    if cursor:
        found = found.filter(_beyond(keys, cursor, "gt" if upwards else "lt"))
    order = [F(key).asc() if upwards else F(key).desc() for key in keys]
    rows = list(found.order_by(*order)[: size + 1])
    more, rows = len(rows) > size, rows[:size]
    if upwards:
        rows.reverse()
    there_is_newer, there_is_older = (more, True) if upwards else (bool(cursor), more)
    return Slice(
        rows,
        newer=_write_cursor(rows[0], keys) if rows and there_is_newer else None,
        older=_write_cursor(rows[-1], keys) if rows and there_is_older else None,
    )


def is_cursor(text: str, keys: Sequence[str]) -> bool:
    """Return whether ``slice_of`` understands a cursor."""
    return _read_cursor(text, len(keys)) is not None


def _beyond(keys: Sequence[str], cursor: Sequence[Any], direction: str) -> Q:
    """Return the condition that a row comes after the cursor, key by key; the first bound is for the index."""
    beyond = Q()
    for place, key in enumerate(keys):
        equal = Q(**dict(zip(keys[:place], cursor[:place], strict=True)))
        beyond |= equal & Q(**{f"{key}__{direction}": cursor[place]})
    return Q(**{f"{keys[0]}__{direction}e": cursor[0]}) & beyond


def _write_cursor(row: models.Model, keys: Sequence[str]) -> str:
    instants = [getattr(row, key).isoformat() for key in keys[:-1]]
    return "~".join([*instants, str(row.pk)])


def _read_cursor(text: str, length: int) -> list[Any] | None:
    *instants, digits = text.split("~")
    number = whole_number(digits)
    if len(instants) != length - 1 or number is None:
        return None
    try:
        read = [parse_datetime(each) for each in instants]
        if any(each is None or each.tzinfo is None for each in read):
            return None
        # PostgreSQL knows offsets of less than 16 hours, and no year before the first.
        return [*(each.astimezone(UTC) for each in read if each), number]
    except (ValueError, OverflowError):
        return None
