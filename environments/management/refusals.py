"""What the commands of every room share: a refusal is one clear line, never a traceback."""

import sys
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import User
from environments.models import Organisation
from web.clock import ClockDiffers


class RefusingCommand(BaseCommand):
    """Turns the services' refusals into one line on stderr and exit code 1; wrong usage is exit code 2."""

    def execute(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute(*args, **options)
        except ValidationError as error:
            raise CommandError(" ".join(lines_of(error)), returncode=1) from error
        except UnicodeError as error:
            raise CommandError("The input is not UTF-8.", returncode=1) from error
        except PermissionDenied as error:
            raise CommandError(str(error) or "Not allowed.", returncode=1) from error
        except ClockDiffers as error:
            raise CommandError(str(error), returncode=1) from error


def lines_of(error: ValidationError) -> list[str]:
    """Return the messages, each with the field it is about."""
    if not hasattr(error, "error_dict"):
        return list(error.messages)
    fields = error.message_dict.items()
    return [line if field == "__all__" else f"{field}: {line}" for field, lines in fields for line in lines]


def organisation_called(slug: str) -> Organisation:
    """Return the organisation with this slug or raise ``CommandError``."""
    try:
        return Organisation.objects.get(slug=slug)
    except ObjectDoesNotExist:
        raise CommandError(f"There is no organisation with the short name {slug!r}.", returncode=1) from None


def user_called(email: str) -> User:
    """Return the user with this e-mail address, whatever its case, or raise ``CommandError``."""
    try:
        return User.objects.get_by_natural_key(email)
    except ObjectDoesNotExist:
        raise CommandError(f"There is no user with the e-mail address {email!r}.", returncode=1) from None


def add_password_option(parser: CommandParser) -> None:
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password of a new user from the first line of stdin; an existing user keeps his own",
    )


def get_or_create_user(email: str, *, password_stdin: bool, **fields: Any) -> tuple[User, bool]:
    """Return the user and whether he is new; a new one gets the password on stdin, or none.

    Raises ``ValidationError`` for a malformed address and a password that the rules refuse.
    """
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    if (existing := User.objects.with_address(email)) is not None:
        return existing, False
    if password is not None:
        validate_password(password, User(email=User.objects.normalise(email), **fields))
    return User.objects.create_user(email, password, **fields), True
