"""The version of what a form shows, so that the second of two who save the same is told what the first one changed."""

import json
from hashlib import sha256
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

CHANGED_MEANWHILE = "changed_meanwhile"


class ChangedMeanwhile(ValidationError):
    """What is to be changed is not what was shown any more; its message begins with ``what`` happened, a sentence."""

    def __init__(self, what: str) -> None:
        asked = _("This was changed while you had the page open. Check it, then save again to replace it.")
        super().__init__(f"{what} {asked}".strip(), code=CHANGED_MEANWHILE)


def version_of(value: Any) -> str:
    """Return a short text that differs for different values; ``value`` serialises to JSON."""
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def is_seen(seen: str | None, value: Any) -> bool:
    """Return whether ``seen`` is the version of ``value``, or None, with which nobody claims to have seen anything."""
    return seen is None or seen == version_of(value)
