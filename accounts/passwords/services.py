"""Passwords: check one, set one by a mailed link or in a session. Setting one logs nobody in."""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes, force_str
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode
from django.utils.translation import gettext as _

from accounts import mail
from accounts.models import User
from accounts.requests import LogInRequest
from accounts.standing import lock_person, lock_to_act
from accounts.throttle.budgets import current_address, one_try, password_of
from audit.services import record
from web.clock import database_now


class WrongPassword(ValidationError):
    """E-mail address and password do not belong together; the error does not say which is wrong."""

    def __init__(self) -> None:
        super().__init__(_("This e-mail address and this password do not belong together."), code="wrong_password")


class LinkUsed(ValidationError):
    """The link was used, or its user deactivated, after the page was opened."""

    def __init__(self) -> None:
        super().__init__(_("This link no longer works. Request a new one."), code="link_over")


class LinkTokens(PasswordResetTokenGenerator):
    """Tokens of mailed links. Beside Django's rules, a token ends when a link is used or its user deactivated.

    Until the first of these they equal Django's own, so links mailed by an older release work.
    """

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        return f"{super()._make_hash_value(user, timestamp)}{user.link_epoch or ''}"

    def _now(self) -> datetime:
        """Return the time by the database's clock, naive and in the time zone of the settings, as Django expects."""
        return timezone.make_naive(database_now(), timezone.get_default_timezone())


tokens = LinkTokens()


@transaction.atomic
def send_reset(email: str, *, language: str) -> None:
    """Mail a reset link if an active user with this address has a password; otherwise do nothing."""
    user = User.objects.with_address(email)
    if user is None or not user.is_active or not user.has_usable_password():
        return
    now = database_now()
    mail.send_to(
        user.mailbox,
        "password_reset",
        {"user": user, "path": path_to_set(user), "at": now},
        language=user.language or language,
        expires_at=now + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT),
        about=f"password reset {user.pk}",
    )
    record("password.reset_asked", by=None, subject=user)


def path_to_set(user: User) -> str:
    """Return the path of the page that sets the user's password; ``user_of_link`` says how long it is valid."""
    key = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("accounts:set-password", args=[key, tokens.make_token(user)])


def user_of_link(key: str, token: str) -> User | None:
    """Return the link's user, or None once it was used, the password was changed, or three days have passed."""
    try:
        user = User.objects.filter(pk=int(force_str(urlsafe_base64_decode(key))), is_active=True).first()
    except (ValueError, OverflowError):
        return None
    return user if user and tokens.check_token(user, token) else None


@transaction.atomic
def set_by_link(user: User, password: str, *, now: datetime) -> None:
    """Set the password of the user that ``user_of_link`` returned, end all their sessions and mail them.

    Uses up the link. Changes made in a session since the page was opened do not stop it, and that session ends.
    Raises ``LinkUsed``, and ``ValidationError`` for a password that breaks the rule.
    """
    locked = lock_person(user)
    if not locked.is_active or locked.link_epoch != user.link_epoch:
        raise LinkUsed
    locked.link_epoch += 1
    _set(user, password, locked=locked, now=now)


@transaction.atomic
def change(user: User, password: str, *, now: datetime) -> None:
    """Set a new password from within a session, end all sessions of the user and mail them.

    The caller reopens the current session in the same transaction. Raises ``ValidationError`` for a password that does
    not follow the rule, ``SessionOver`` and ``StepUpOver``.
    """
    _set(user, password, locked=lock_to_act(user, is_fresh=True), now=now)


def _set(user: User, password: str, *, locked: User, now: datetime) -> None:
    validate_password(password, user)
    locked.set_password(password)
    locked.session_epoch += 1
    locked.save(update_fields=["password", "session_epoch", "link_epoch"])
    user.password, user.session_epoch, user.link_epoch = locked.password, locked.session_epoch, locked.link_epoch
    user.sessions.end_sessions(now=now, why="password changed")
    record("password.changed", by=user, subject=user)
    mail.send(user, "password_changed", {"at": now})


def authenticate(request: LogInRequest, email: str, password: str) -> User:
    """Return the active user with this e-mail address and password.

    Takes as long for an address that nobody has. Raises ``WrongPassword`` and ``TooManyTries``; failures here never
    slow log-ins by SSO or passkey.
    """
    with one_try(current_address(), password_of(email)):
        user = ModelBackend().authenticate(request, username=email, password=password)
        if not isinstance(user, User):
            raise WrongPassword
        return user
