"""Log a user in for a test: with a factor, with a password alone, or half-way."""

import time
from datetime import timedelta

from django.test import Client
from django.utils import timezone
from django_otp.oath import TOTP

from accounts import totp
from accounts.models import SessionRecord, TotpDevice, User
from accounts.sessions.services import SESSION_ID
from tests.factories import PASSWORD

KEY = b"twenty bytes of a key"[:20]


def give_app(user: User, *, name: str = "Phone", key: bytes = KEY) -> TotpDevice:
    """Add an authenticator app with a known key to ``user``, and return it."""
    return TotpDevice.objects.create(user=user, name=name, confirmed=True, secret=totp.seal(key, user_id=user.pk))


def code(steps_ahead: int = 0, *, key: bytes = KEY) -> str:
    """Return the code that the app shows now, or some steps ahead; it works once, so then use ``next_code``."""
    clock = TOTP(key, totp.STEP_SECONDS, 0, totp.DIGITS, steps_ahead)
    return f"{clock.token():0{totp.DIGITS}d}"


def next_code(user: User, *, key: bytes = KEY) -> str:
    """Return the code after the last one that ``user`` typed, whenever that was."""
    device = TotpDevice.objects.get(user=user)
    return code(max(0, device.last_step + 1 - int(time.time()) // totp.STEP_SECONDS), key=key)


def log_in(client: Client, user: User) -> TotpDevice:
    """Log ``user`` in with password and factor, and stepped up, so that the gate lets every request through."""
    device = TotpDevice.objects.filter(user=user, confirmed=True).first() or give_app(user)
    client.force_login(user)
    now = timezone.now()
    SessionRecord.objects.filter(key_hash=SessionRecord.hash_of(client.session[SESSION_ID])).update(
        factor=device.persistent_id, factor_at=now, stepped_up_at=now
    )
    return device


def expire_step_up() -> None:
    """Let every session have stepped up eleven minutes ago, which is too long ago."""
    SessionRecord.objects.update(stepped_up_at=timezone.now() - timedelta(minutes=11))


def give_password(client: Client, user: User, **more: str) -> object:
    """Send the log-in form with the password of ``user``; ``more`` are other fields."""
    return client.post("/login/", {"email": user.email, "password": PASSWORD, **more})


def is_let_in(client: Client) -> bool:
    """Return whether the gate lets this client in."""
    return client.get("/profile/security/").status_code == 200


def logged_in_client(user: User) -> Client:
    """Return a client with ``user`` logged in and stepped up."""
    client = Client()
    log_in(client, user)
    return client
