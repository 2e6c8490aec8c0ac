"""Was a downloaded file of receipts signed by this key, and is it unchanged?

Needs Python and the package ``cryptography``, nothing of Studio's: whoever files receipts keeps this page beside them
and runs ``python receipt_file.py FILE PUBLIC_KEY``. Exit code 0: authentic; 1: not; 2: a file cannot be read.
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
    """The file is not one that we signed, or was changed since."""


def verify(document: str, pem: str) -> dict[str, Any]:
    """Return the statement that ``document`` holds, if one of the keys in ``pem`` signed it; else ``NotAuthentic``.

    The signature (Ed25519, RFC 8032) is of the text of ``signed`` in UTF-8, exactly as it stands there. Nothing stands
    beside it that is not signed, and nothing twice: another reader might take that for what was checked.
    """
    try:
        outer = json.loads(document, object_pairs_hook=each_once)
        text, signature = outer["signed"].encode(), base64.b64decode(outer["signature"], validate=True)
        known = {"algorithm": "Ed25519", "signature": base64.b64encode(signature).decode(), "signed": text.decode()}
        if outer != known:
            raise ValueError("There is something else in it.")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotAuthentic("This is not a signed file of receipts.") from error
    if not any(fits(key, signature, text) for key in keys_of(pem)):
        raise NotAuthentic("The signature does not fit: the file was changed, or another key signed it.")
    statement: dict[str, Any] = json.loads(text)
    return statement


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("A name stands there twice.")
    return found


def keys_of(pem: str) -> list[Ed25519PublicKey]:
    """Return every Ed25519 key of the text. Raises ``NotAuthentic`` where it holds none."""
    try:
        found = [load_pem_public_key((block + END).strip().encode()) for block in pem.split(END)[:-1]]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NotAuthentic("The public key cannot be read: it must be PEM.") from error
    keys = [key for key in found if isinstance(key, Ed25519PublicKey)]
    if not keys:
        raise NotAuthentic("There is no Ed25519 public key in the file of the key.")
    return keys


def fits(key: Ed25519PublicKey, signature: bytes, text: bytes) -> bool:
    try:
        key.verify(signature, text)
    except InvalidSignature:
        return False
    return True


def in_words(statement: dict[str, Any]) -> str:
    """Say what was signed. Raises ``NotAuthentic`` for what is no receipts: the key also signs the journal."""
    if "receipts" not in statement:
        raise NotAuthentic("The signature fits, but this is not a file of receipts.")
    receipts = statement["receipts"]
    messages = sum(receipt["messages"] for receipt in receipts)
    days = [f"{word} {statement[word]}" for word in ("from", "until") if statement.get(word)]
    period = f", of runs {' '.join(days)}" if days else ""
    return (
        f"Authentic: {len(receipts)} receipts of {statement.get('organisation')}{period}, "
        f"issued {statement['issued_at']}, {messages} messages deleted in all."
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
        sys.stdout.write(in_words(verify(document, pem)) + "\n")
    except NotAuthentic as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
