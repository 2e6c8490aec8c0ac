"""Limit the number of values in a JSON text, counted before any of it is parsed.

A parser can make a value of every two bytes, and each takes a hundred: 32 MiB of ``[{},{},…`` would take a gigabyte.
"""

from itertools import accumulate
from typing import Final

from django.utils.translation import gettext as _

from conversations.ingest.strict_json import Refused

MOST_VALUES: Final = 200_000  # about 40,000 messages
DEEPEST: Final = 1_000  # how deep Python's parser can go; the rules of each field are stricter
_QUOTES_OF_A_VALUE: Final = 4  # those of its key and, for a string, its own
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS: Final = bytes(set(range(256)) - _STEPS.keys())


class TooMuch(Exception):
    """A text has more than ``MOST_VALUES`` values; the message says so."""


def check_bounds(text: bytes) -> None:
    """Raise ``TooMuch`` for too many values, and ``Refused`` for nesting that is too deep.

    Does not check that the text is JSON. Takes memory in proportion to ``text``.
    """
    if _values(text) < DEEPEST:
        return  # as for most requests, even if none of it is in strings
    unescaped = text.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') > _QUOTES_OF_A_VALUE * MOST_VALUES:
        raise TooMuch(_("A request can have at most %(most)s values. Send it in parts.") % {"most": f"{MOST_VALUES:,}"})
    structure = b"".join(unescaped.split(b'"')[::2])
    if _values(structure) > MOST_VALUES:
        raise TooMuch(_("A request can have at most %(most)s values. Send it in parts.") % {"most": f"{MOST_VALUES:,}"})
    if structure.count(b"]") + structure.count(b"}") > MOST_VALUES:
        return  # more closing than opening brackets: not JSON
    if max(accumulate(map(_STEPS.__getitem__, structure.translate(None, _NO_BRACKETS))), default=0) > DEEPEST:
        raise Refused(_("nested too deep"))


def _values(text: bytes) -> int:
    """Return an upper bound, hardly too high, of the number of values in a text without strings."""
    return sum(map(text.count, (b",", b"[", b"{")))
