"""Values that a session keeps for one user, encrypted, for ten minutes."""

import time
from typing import Any, Final

from cryptography.fernet import InvalidToken
from django.contrib.sessions.backends.base import SessionBase

from web.sealing import seal, unseal

KEPT_SECONDS: Final = 600


def keep_value(session: SessionBase, name: str, value: dict[str, Any], *, user_id: int) -> None:
    """Keep a value that serialises to JSON under ``name``, in place of an earlier one."""
    session[name] = seal({"user": user_id, "at": time.time(), "value": value}).decode()


def kept_value(session: SessionBase, name: str, *, user_id: int) -> dict[str, Any] | None:
    """Return the value kept under ``name``, or None if it is another user's.

    What is older than ten minutes, or encrypted with a key that was removed, is deleted.
    """
    if name not in session:
        return None
    try:
        kept = unseal(session[name].encode())
    except InvalidToken:
        kept = {"at": 0}
    if not 0 <= time.time() - kept["at"] <= KEPT_SECONDS:
        del session[name]
        return None
    value: dict[str, Any] | None = kept["value"] if kept["user"] == user_id else None
    return value
