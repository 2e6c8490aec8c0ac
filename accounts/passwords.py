"""Passwords: setting a new one, by a mailed link or in a session. Neither logs anybody in."""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes, force_str
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode
from django.utils.translation import gettext as _

from accounts import mail
from accounts.models import User
from accounts.requests import SignInRequest
from accounts.throttle import here, one_try, password_of
from audit.services import record


class WrongPassword(ValidationError):
    """The e-mail and the password do not belong together; which of them is wrong is not said."""

    def __init__(self) -> None:
        super().__init__(_("This e-mail address and this password do not belong together."), code="wrong_password")


@transaction.atomic
def send_reset(email: str, *, language: str) -> None:
    """Mail a link to the one user who has this address and a password; nobody else has one to reset."""
    user = User.objects.with_address(email)
    if user is None or not user.is_active or not user.has_usable_password():
        return
    mail.send_to(
        user.mailbox,
        "password_reset",
        {"user": user, "path": path_to_set(user)},
        language=user.language or language,
        expires_at=timezone.now() + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT),
        about=f"password reset {user.pk}",
    )
    record("password.reset_asked", by=None, subject=user)


def path_to_set(user: User) -> str:
    """Return the path of a page where whoever knows it sets the user's password, as ``user_of_link`` says how long."""
    key = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("accounts:set-password", args=[key, default_token_generator.make_token(user)])


def user_of_link(key: str, token: str) -> User | None:
    """Return whose link this is, while it holds: until it is used, the password changes, or three days are over."""
    try:
        user = User.objects.filter(pk=int(force_str(urlsafe_base64_decode(key))), is_active=True).first()
    except (ValueError, OverflowError):
        return None
    return user if user and default_token_generator.check_token(user, token) else None


@transaction.atomic
def set_password(user: User, password: str, *, now: datetime) -> None:
    """Set a new password. Every session of the user ends, and he is mailed.

    Raises ``ValidationError`` for a password that does not follow the rule.
    """
    validate_password(password, user)
    user.set_password(password)
    user.session_epoch += 1
    user.save(update_fields=["password", "session_epoch"])
    user.sessions.end(now=now, why="password changed")
    record("password.changed", by=user, subject=user)
    mail.send(user, "password_changed", {"at": now})


def check(request: SignInRequest, email: str, password: str) -> User:
    """Return the active user of this e-mail and password.

    Takes as long for an address that nobody has. Raises ``WrongPassword`` and ``TooManyTries``; what fails here never
    slows the SSO and passkey doors.
    """
    with one_try(here(), password_of(email)):
        user = ModelBackend().authenticate(request, username=email, password=password)
        if not isinstance(user, User):
            raise WrongPassword
        return user
