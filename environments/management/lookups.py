"""Find the organisation or user that a command names, and create users."""

import sys
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ObjectDoesNotExist
from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.passwords.services import path_to_set
from audit.services import record
from environments.models import Organisation


def organisation_with_slug(slug: str) -> Organisation:
    """Return the organisation with this slug or raise ``CommandError``."""
    try:
        return Organisation.objects.get(slug=slug)
    except ObjectDoesNotExist:
        raise CommandError(
            _("There is no organisation with the short name %(slug)r.") % {"slug": slug}, returncode=1
        ) from None


def user_with_email(email: str) -> User:
    """Return the user with this e-mail address, whatever its case, or raise ``CommandError``."""
    try:
        return User.objects.get_by_natural_key(email)
    except ObjectDoesNotExist:
        raise CommandError(
            _("There is no user with the e-mail address %(email)r.") % {"email": email}, returncode=1
        ) from None


def add_password_option(parser: CommandParser) -> None:
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from the first line of stdin; somebody who can log in already keeps their own",
    )


class Person(NamedTuple):
    """A user that a command found or created, and a line about how they log in."""

    user: User
    is_new: bool
    note: str  # empty, or a line


def get_or_create_user(email: str, *, password_stdin: bool, **fields: Any) -> Person:
    """Return the user with this address; a new one, and one who has no way to log in, gets the password on stdin.

    Without a password the note has a link to set one. Raises ``ValidationError`` for a malformed address and a password
    that the rules refuse. Call in a transaction.
    """
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    user = User.objects.with_address(email)
    is_new = user is None
    if user is None:
        if password is not None:
            validate_password(password, User(email=User.objects.normalise(email), **fields))
        user = User.objects.create_user(email, password, **fields)
    elif password is not None and not can_log_in(user):
        validate_password(password, user)
        user.set_password(password)
        user.save(update_fields=["password"])
        record("password.changed", by=None, subject=user)
    elif password is not None:
        return Person(user, is_new, _("The user can already log in, so the password was not changed."))
    if can_log_in(user):
        return Person(user, is_new, "")
    link = f"{settings.SITE_URL}{path_to_set(user)}"
    return Person(user, is_new, _("To set a password, open this link within three days: %(link)s") % {"link": link})


def can_log_in(user: User) -> bool:
    """Return whether the user has a password, or an identity at an SSO provider."""
    return user.has_usable_password() or user.social_auth.exists()
