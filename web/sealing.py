"""Encrypt what is stored for a while and must not be readable in a copy of the database."""

import json
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


def box() -> MultiFernet:
    """Return what encrypts: ``TOTP_KEYS``, the newest first, so that keys can be rotated."""
    return MultiFernet([Fernet(key) for key in settings.TOTP_KEYS])


def seal(value: dict[str, Any]) -> bytes:
    """Encrypt a value that serialises to JSON."""
    return box().encrypt(json.dumps(value).encode())


def unseal(sealed: bytes) -> dict[str, Any]:
    """Return the value. Raises ``cryptography.fernet.InvalidToken`` where no key of ``TOTP_KEYS`` fits."""
    value: dict[str, Any] = json.loads(box().decrypt(sealed))
    return value
