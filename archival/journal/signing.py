"""Receipts as a signed file; ``receipt_file`` checks it, without us: Ed25519 over the exact text."""

import base64
import json
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

ALGORITHM = "Ed25519"


def private_key(secret: str) -> Ed25519PrivateKey:
    """Derive the signing key from a secret key (RFC 5869), so there is one secret to keep."""
    seed = HKDF(hashes.SHA256(), 32, salt=None, info=b"studio receipts").derive(secret.encode())
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_keys() -> str:
    """Return the public key as PEM, the current one first, then those of former secrets still configured."""
    keys = [private_key(secret).public_key() for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "".join(key.public_bytes(*form).decode() for key in keys)


def sign(statement: dict[str, Any], *, now: datetime) -> str:
    """Return a JSON file: ``signed`` is the statement as text, ``signature`` (base64) is of that text in UTF-8."""
    text = json.dumps({**statement, "issued_at": now.isoformat()}, ensure_ascii=False, sort_keys=True)
    signature = private_key(settings.SECRET_KEY).sign(text.encode())
    document = {"algorithm": ALGORITHM, "signature": base64.b64encode(signature).decode(), "signed": text}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
