"""Read JSON as strictly as RFC 8259, where Python's own reader is lenient.

Refused: bytes that are not UTF-8, a byte-order mark, NaN and Infinity, duplicate keys, integers beyond 64 bits,
numbers beyond a double, and nesting that would overflow the stack.
"""

import json
import math
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

INTEGER_DIGITS = 19  # of the largest 64-bit integer; anything longer is out of range without converting it
SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1
SHOWN_CHARACTERS = 24


class Refused(ValidationError):
    """Input that was refused; ``reason`` is one line that names the field and quotes little of the content."""

    @property
    def reason(self) -> str:
        return str(self.messages[0])


def loads(raw: bytes) -> Any:
    """Return the value of one JSON text. Raises ``Refused``."""
    if raw.startswith(b"\xef\xbb\xbf"):
        raise Refused(_("byte-order mark"))
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Refused(_("not UTF-8 at byte %(number)s") % {"number": error.start}) from None
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise Refused(_("not JSON: %(error)s") % {"error": error}) from None
    except RecursionError:
        raise Refused(_("nested too deep")) from None


def _integer(text: str) -> int:
    digits = len(text) - text.startswith("-")
    if digits < INTEGER_DIGITS:
        return int(text)
    if digits > INTEGER_DIGITS or not SMALLEST_INTEGER <= (number := int(text)) <= LARGEST_INTEGER:
        raise Refused(_("integer out of 64-bit range: %(text)s") % {"text": text[:SHOWN_CHARACTERS]})
    return number


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise Refused(_("number out of range: %(text)s") % {"text": text[:SHOWN_CHARACTERS]})
    return number


def _constant(text: str) -> None:
    raise Refused(_("%(text)s is not JSON") % {"text": text})


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Refused(_("duplicate key %(key)s") % {"key": quoted(twice)})
    return members


def quoted(text: str) -> str:
    """Return a name from outside in quotes on one line, shortened, with unprintable characters escaped."""
    return ascii(text if len(text) <= 2 * SHOWN_CHARACTERS else text[: 2 * SHOWN_CHARACTERS] + "…")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)
