"""The key that signs seals, the journal and receipts, and the public keys that check them (Ed25519, RFC 8032).

``SIGNING_KEY`` is 32 random bytes in base64: a key of its own, so that neither the database nor ``SECRET_KEY`` is
enough to sign. When it is replaced, its public key goes into ``SIGNING_PUBLIC_KEYS``, and the private one can be
destroyed.
"""

import base64
import hashlib
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from django.conf import settings

KEY_BYTES = 32


class WrongKey(Exception):
    """``SIGNING_KEY`` is missing, or one of the keys in the settings cannot be read."""


def private_key() -> Ed25519PrivateKey:
    """Return the key of ``SIGNING_KEY``. Raises ``WrongKey``."""
    if not settings.SIGNING_KEY:
        raise WrongKey("SIGNING_KEY is not set.")
    try:
        seed = base64.b64decode(settings.SIGNING_KEY, validate=True)
    except ValueError as error:
        raise WrongKey("SIGNING_KEY is not base64.") from error
    if len(seed) != KEY_BYTES:
        raise WrongKey(f"SIGNING_KEY has {len(seed)} bytes instead of {KEY_BYTES}.")
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_keys() -> list[Ed25519PublicKey]:
    """Return the public key of ``SIGNING_KEY``, then those of ``SIGNING_PUBLIC_KEYS``. Raises ``WrongKey``."""
    return [private_key().public_key(), *map(read_public_key, settings.SIGNING_PUBLIC_KEYS)]


def read_public_key(text: str) -> Ed25519PublicKey:
    """Return the public key in the line between the first and the last line of its PEM. Raises ``WrongKey``."""
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except ValueError as error:
        raise WrongKey(f"SIGNING_PUBLIC_KEYS has {text!r}, which is no public key.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise WrongKey(f"SIGNING_PUBLIC_KEYS has {text!r}, which is no Ed25519 key.")
    return key


def as_pem(keys: Iterable[Ed25519PublicKey]) -> str:
    return "".join(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() for key in keys)


def id_of(key: Ed25519PublicKey) -> str:
    """Return the id under which signatures name a key: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]
