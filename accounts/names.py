"""What a name may hold, of a person, an organisation, a device or a key: mails repeat it in a line of theirs."""

import unicodedata
from typing import Final

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# Separators of lines and paragraphs, and marks that turn the text after them around.
_MISLEADING: Final = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_misleading(character: str) -> bool:
    """Tell whether the character would end the line that a name stands in, or rewrite what stands beside it."""
    return character in _MISLEADING or unicodedata.category(character) in {"Cc", "Cs"}


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL takes the text: it has no NUL, and no half of a character that JSON can spell."""
    return not any(character == "\0" or unicodedata.category(character) == "Cs" for character in text)


def validate_name(name: str) -> None:
    """Raise ``ValidationError`` unless the name is one line of text."""
    if any(is_misleading(character) for character in name):
        raise ValidationError(_("A name has no control characters."), code="control_characters")
