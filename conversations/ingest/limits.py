"""Limit the variables that a contact or a conversation collects over any number of requests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from django.utils.translation import gettext as _

from conversations.fields import to_json

MOST_VARIABLES = 1_000
LARGEST_VARIABLES = 1024 * 1024  # bytes of keys and values together, in UTF-8 as JSON


@dataclass(frozen=True, slots=True)
class VariablesSize:
    """The number of variables, and the bytes of their keys and values."""

    count: int
    bytes: int

    @classmethod
    def of(cls, variables: Mapping[str, Any]) -> Self:
        return cls(len(variables), sum(sizes(variables)))

    def excess(self) -> str:
        """Return which limit is exceeded, in words, or an empty text."""
        if self.count > MOST_VARIABLES:
            return _("more than %(most)s variables") % {"most": MOST_VARIABLES}
        if self.bytes > LARGEST_VARIABLES:
            return _("more than %(most)s bytes of variables") % {"most": LARGEST_VARIABLES}
        return ""

    def excess_over(self, before: Self) -> str:
        """Return which limit is exceeded after a change, in words; an empty text if the variables have not grown.

        Variables that were stored before there were limits can exceed them, and can still be replaced.
        """
        has_grown = self.count > before.count or self.bytes > before.bytes
        return self.excess() if has_grown else ""


def is_plainly_within(count: int, json: str) -> bool:
    """Return whether so many variables with this JSON are certainly within the limits; cheaper than measuring each."""
    return count <= MOST_VARIABLES and len(json) <= LARGEST_VARIABLES // 4  # a character has 4 bytes at most


def sizes(variables: Mapping[str, Any]) -> Iterable[int]:
    """Yield the size of each variable in bytes, with its key."""
    return (len(key.encode()) + len(to_json(value).encode()) for key, value in variables.items())
