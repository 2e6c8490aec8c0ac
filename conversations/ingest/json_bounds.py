"""How much one JSON text may hold, counted before any of it is made.

A parser makes a value of every two bytes, and each takes a hundred: 32 MiB of ``[{},{},…`` would take a gigabyte.
"""

from itertools import accumulate
from typing import Final

from conversations.ingest.strict_json import Refused

MOST_VALUES: Final = 200_000  # about 40,000 messages
DEEPEST: Final = 1_000  # what a reader of Python's can go down; the rules of each field are narrower
_QUOTES_OF_A_VALUE: Final = 4  # those of its key and, if it is a text, its own
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS: Final = bytes(set(range(256)) - _STEPS.keys())


class TooMuch(Exception):
    """A text has more values than are read at once; the reason is in words."""


def check_bounds(text: bytes) -> None:
    """Raise ``TooMuch``, or ``Refused`` for what is nested too deep; says nothing of whether it is JSON.

    Takes memory in proportion to ``text`` alone.
    """
    if _values(text) < DEEPEST:
        return  # as most requests, even if all of it stood outside strings
    unescaped = text.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') > _QUOTES_OF_A_VALUE * MOST_VALUES:
        raise TooMuch(f"A request may have {MOST_VALUES:,} values at most.")
    structure = b"".join(unescaped.split(b'"')[::2])
    if _values(structure) > MOST_VALUES:
        raise TooMuch(f"A request may have {MOST_VALUES:,} values at most.")
    if structure.count(b"]") + structure.count(b"}") > MOST_VALUES:
        return  # more ends than beginnings are no JSON
    if max(accumulate(map(_STEPS.__getitem__, structure.translate(None, _NO_BRACKETS))), default=0) > DEEPEST:
        raise Refused("nested too deep")


def _values(text: bytes) -> int:
    """Return how many values a text without strings has, or a few more."""
    return sum(map(text.count, (b",", b"[", b"{")))
