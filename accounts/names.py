"""Rules for names of people, organisations, devices and keys, which mails repeat within a line."""

import unicodedata
from typing import Final

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# Separators of lines and paragraphs, and marks that turn the text after them around.
_MISLEADING: Final = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_misleading(character: str) -> bool:
    """Return whether the character ends a line or changes the order of the text around it."""
    return character in _MISLEADING or unicodedata.category(character) in {"Cc", "Cs"}


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can store the text: no NUL and no lone surrogate."""
    return not any(character == "\0" or unicodedata.category(character) == "Cs" for character in text)


def validate_name(name: str) -> None:
    """Raise ``ValidationError`` unless the name is one line of text."""
    if any(is_misleading(character) for character in name):
        raise ValidationError(_("A name has no control characters."), code="control_characters")
