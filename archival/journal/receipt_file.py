"""Check that a downloaded file of receipts was signed by Studio and has not been changed since.

Needs Python and the package ``cryptography``, and nothing else of Studio: keep this file beside the receipts and run
``python receipt_file.py FILE PUBLIC_KEY``. Exit code 0: authentic; 1: not authentic; 2: a file cannot be read.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

END = "-----END PUBLIC KEY-----"


class NotAuthentic(Exception):
    """No public key signed the file, or somebody changed it since."""


def verify(document: str, pem: str) -> dict[str, Any]:
    """Return the statement in ``document``. Raises ``NotAuthentic`` unless one of the keys in ``pem`` signed it.

    The signature (Ed25519, RFC 8032) is of the exact text of ``signed`` in UTF-8. Also refuses a document that has
    unsigned members beside it, or a member twice: another program could read those instead.
    """
    try:
        outer = json.loads(document, object_pairs_hook=without_duplicates)
        text, signature = outer["signed"].encode(), base64.b64decode(outer["signature"], validate=True)
        known = {"algorithm": "Ed25519", "signature": base64.b64encode(signature).decode(), "signed": text.decode()}
        if outer != known:
            raise ValueError("The file has unsigned members.")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotAuthentic("This is not a signed file of receipts.") from error
    if not any(is_signed_by(key, signature, text) for key in read_public_keys(pem)):
        raise NotAuthentic("The signature does not match: the file was changed, or another key signed it.")
    statement: dict[str, Any] = json.loads(text)
    return statement


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("The file has a member twice.")
    return found


def read_public_keys(pem: str) -> list[Ed25519PublicKey]:
    """Return every Ed25519 key in the PEM text. Raises ``NotAuthentic`` if there is none."""
    try:
        found = [load_pem_public_key((block + END).strip().encode()) for block in pem.split(END)[:-1]]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NotAuthentic("The public key cannot be read. It must be a PEM file.") from error
    keys = [key for key in found if isinstance(key, Ed25519PublicKey)]
    if not keys:
        raise NotAuthentic("The key file has no Ed25519 public key.")
    return keys


def is_signed_by(key: Ed25519PublicKey, signature: bytes, text: bytes) -> bool:
    try:
        key.verify(signature, text)
    except InvalidSignature:
        return False
    return True


def summarise(statement: dict[str, Any]) -> str:
    """Return one line that sums up the receipts. Raises ``NotAuthentic`` for a signed file without receipts."""
    if "receipts" not in statement:
        raise NotAuthentic("The signature matches, but this is not a file of receipts.")
    receipts = statement["receipts"]
    messages = sum(receipt["messages"] for receipt in receipts)
    days = [f"{word} {statement[word]}" for word in ("from", "until") if statement.get(word)]
    period = f", of runs {' '.join(days)}" if days else ""
    return (
        f"Authentic: {len(receipts)} receipts of {statement.get('organisation')}{period}, "
        f"issued {statement['issued_at']}, {messages} messages deleted."
    )


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        sys.stderr.write("Usage: python receipt_file.py FILE PUBLIC_KEY\n")
        return 2
    try:
        document, pem = (Path(name).read_text(encoding="utf-8") for name in arguments)
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        sys.stdout.write(summarise(verify(document, pem)) + "\n")
    except NotAuthentic as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
