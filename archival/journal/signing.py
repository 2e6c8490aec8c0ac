"""Sign files of receipts and of journal entries (Ed25519 over the exact text); ``receipt_file`` checks them.

They are signed with ``SIGNING_KEY``. Files of an older release were signed with a key derived from ``SECRET_KEY``, and
stay verifiable for as long as that is ``SECRET_KEY`` or in ``SECRET_KEY_FALLBACKS``, or its public key in
``SIGNING_PUBLIC_KEYS``.
"""

import base64
import json
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from audit import signing

ALGORITHM = "Ed25519"


def derived_key(secret: str) -> Ed25519PrivateKey:
    """Return the key that an older release derived from a secret key (RFC 5869)."""
    seed = HKDF(hashes.SHA256(), 32, salt=None, info=b"studio receipts").derive(secret.encode())
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_keys() -> str:
    """Return the public keys as PEM: those of the signing keys, then those that were derived from secret keys."""
    derived = [derived_key(secret).public_key() for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return signing.as_pem([*signing.public_keys(), *derived])


def sign(statement: dict[str, Any], *, now: datetime) -> str:
    """Return the text of a signed JSON file.

    ``signed`` is the statement as JSON text, with ``issued_at`` and the id of the key (``signed_with``); ``signature``
    (base64) is of that text in UTF-8.
    """
    key = signing.private_key()
    added = {"issued_at": now.isoformat(), "signed_with": signing.id_of(key.public_key())}
    text = json.dumps({**statement, **added}, ensure_ascii=False, sort_keys=True)
    signature = base64.b64encode(key.sign(text.encode())).decode()
    document = {"algorithm": ALGORITHM, "signature": signature, "signed": text}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
