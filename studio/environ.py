"""Read settings from environment variables; a malformed value stops the start with the name of its variable."""

import json
import os
from math import inf
from typing import Any

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str | None = None) -> str:
    """Return the variable, or ``default``. Raises ``ImproperlyConfigured`` if there is neither."""
    value = os.environ.get(name, "")
    if value:
        return value
    if default is None:
        raise ImproperlyConfigured(f"{name} is not set. See .env.example for what it means.")
    return default


def flag(name: str, default: bool = False) -> bool:
    value = text(name, "1" if default else "0").strip().lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {value!r}.")


def number(name: str, default: float, *, least: float = 0) -> float:
    value = text(name, str(default))
    try:
        parsed = float(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not {value!r}.") from None
    if not least <= parsed < inf:
        raise ImproperlyConfigured(f"{name} must be a number of at least {least}, not {value!r}.")
    return int(parsed) if parsed.is_integer() else parsed


def integer(name: str, default: int, *, least: int = 0) -> int:
    parsed = number(name, default, least=least)
    if parsed != int(parsed):
        raise ImproperlyConfigured(f"{name} must be a whole number, not {parsed!r}.")
    return int(parsed)


def words(name: str, default: str = "") -> list[str]:
    """Return the comma-separated values, without blanks."""
    return [word for word in (part.strip() for part in text(name, default).split(",")) if word]


def json_list(name: str) -> list[dict[str, Any]]:
    try:
        value = json.loads(text(name, "[]"))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is not JSON: {error}.") from None
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ImproperlyConfigured(f"{name} must be a JSON list of objects.")
    return value
