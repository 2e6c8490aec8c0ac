"""Fields for a password and for a six-digit code."""

from typing import Any
from unicodedata import category

from django import forms

MOST_TYPED = 20  # six digits, and what people and password managers put around and between them
CODE = {
    "class": "input--code",
    "inputmode": "numeric",
    "autocomplete": "one-time-code",
    "autofocus": True,
}


class PasswordField(forms.CharField):
    """A password as it is typed; ``new`` tells password managers to offer one, not to fill in the old one."""

    def __init__(self, *, new: bool = False, autofocus: bool = False, **kwargs: Any) -> None:
        widget = forms.PasswordInput({"autocomplete": "new-password" if new else "current-password"})
        if autofocus:
            widget.attrs["autofocus"] = True
        super().__init__(strip=False, max_length=1024, widget=widget, **kwargs)


class CodeInput(forms.TextInput):
    """An input that never shows the code again: a refused code is useless."""

    def format_value(self, value: object) -> None:
        return None


class CodeField(forms.CharField):
    """A code as people type or paste it; spaces and dashes are removed before validation."""

    def to_python(self, value: object) -> str:
        return without_separators(super().to_python(value))


MINUS = "\u2212"  # a dash to people, a mathematical symbol to Unicode
SEPARATORS = ("Z", "Pd", "Cf")  # Unicode's categories: spaces, dashes, and marks that nobody sees


def without_separators(code: object) -> str:
    """Return a code without the spaces, dashes, line ends and invisible marks that people and apps put between digits.

    Returns an empty string for anything but text.
    """
    if not isinstance(code, str):
        return ""
    return "".join(one for one in code if not (one.isspace() or one == MINUS or category(one).startswith(SEPARATORS)))
