"""Sign files of receipts and of journal entries (Ed25519 over the exact text); ``receipt_file`` checks them."""

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
    """Return the signing key, derived from a secret key (RFC 5869), so that an operator keeps one secret."""
    seed = HKDF(hashes.SHA256(), 32, salt=None, info=b"studio receipts").derive(secret.encode())
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_keys() -> str:
    """Return the public keys as PEM: that of the secret key, then those of ``SECRET_KEY_FALLBACKS``."""
    keys = [private_key(secret).public_key() for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "".join(key.public_bytes(*form).decode() for key in keys)


def sign(statement: dict[str, Any], *, now: datetime) -> str:
    """Return the text of a signed JSON file.

    ``signed`` is the statement as JSON text, with ``issued_at``; ``signature`` (base64) is of that text in UTF-8.
    """
    text = json.dumps({**statement, "issued_at": now.isoformat()}, ensure_ascii=False, sort_keys=True)
    signature = private_key(settings.SECRET_KEY).sign(text.encode())
    document = {"algorithm": ALGORITHM, "signature": base64.b64encode(signature).decode(), "signed": text}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
