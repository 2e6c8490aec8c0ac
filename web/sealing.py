"""Encryption of short-lived values, so that a copy of the database does not reveal them."""

import json
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


def box() -> MultiFernet:
    """Return the cipher of ``TOTP_KEYS``, newest key first, so that keys can be rotated."""
    return MultiFernet([Fernet(key) for key in settings.TOTP_KEYS])


def seal(value: dict[str, Any]) -> bytes:
    """Encrypt a value that serialises to JSON."""
    return box().encrypt(json.dumps(value).encode())


def unseal(sealed: bytes) -> dict[str, Any]:
    """Decrypt a value. Raises ``cryptography.fernet.InvalidToken`` if no key of ``TOTP_KEYS`` fits."""
    value: dict[str, Any] = json.loads(box().decrypt(sealed))
    return value
