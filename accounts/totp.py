"""Time-based one-time codes (RFC 6238) and the encryption of their secrets; no models, no database."""

import base64
import secrets
import time
from urllib.parse import quote, urlencode

from django.conf import settings
from django_otp.oath import TOTP

from web.sealing import box
from web.typed import is_digits

STEP_SECONDS = 30
DIGITS = 6
TOLERANCE_STEPS = 1  # RFC 6238, section 5.2: at most one step of delay
KEY_BYTES = 20  # RFC 4226, section 4: 160 bits are recommended


class SecretOfAnotherUser(ValueError):
    """An encrypted secret was moved to another user's row."""


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def seal(key: bytes, *, user_id: int) -> bytes:
    """Encrypt a secret for one user; it cannot be decrypted for another."""
    return box().encrypt(b"%d:%s" % (user_id, key.hex().encode()))


def unseal(sealed: bytes, *, user_id: int) -> bytes:
    """Decrypt a secret.

    Raises ``cryptography.fernet.InvalidToken`` if no key of ``TOTP_KEYS`` fits, and ``SecretOfAnotherUser``.
    """
    owner, _, key = box().decrypt(sealed).partition(b":")
    if int(owner) != user_id:
        raise SecretOfAnotherUser
    return bytes.fromhex(key.decode())


def match(key: bytes, code: object, *, last_step: int, drift: int) -> tuple[int, int] | None:
    """Return the time step that ``code`` is valid for, and the clock drift of the app; None for a wrong code.

    Only six ASCII digits count, and only a step after ``last_step``, so that each code works once.
    """
    if not isinstance(code, str) or len(code) != DIGITS or not is_digits(code):
        return None
    clock = TOTP(key, STEP_SECONDS, 0, DIGITS, drift)
    clock.time = time.time()
    if clock.verify(int(code), tolerance=TOLERANCE_STEPS, min_t=last_step + 1):
        return clock.t(), clock.drift
    return None


def as_text(key: bytes) -> str:
    """Return the secret as people type it: base 32, in groups of four."""
    text = base64.b32encode(key).decode().rstrip("=")
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def uri(key: bytes, *, account: str) -> str:
    """Return what the QR code holds, after the Key URI Format of Google Authenticator."""
    issuer = settings.OTP_TOTP_ISSUER
    secret = base64.b32encode(key).decode().rstrip("=")
    query = urlencode({"secret": secret, "issuer": issuer, "digits": DIGITS, "period": STEP_SECONDS})
    return f"otpauth://totp/{quote(issuer)}:{quote(account)}?{query}"
