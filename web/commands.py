"""What the commands of every room share: a refusal is one clear line, and what cannot be told is not done."""

import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.db import OperationalError, ProgrammingError, transaction
from django.utils.module_loading import import_string
from psycopg2.errors import UndefinedColumn, UndefinedTable

from web.clock import ClockDiffers


class RefusingCommand(BaseCommand):
    """Turns refusals, and what the machine lacks, into one line on stderr and exit code 1; wrong usage is exit code 2.

    What was written to the standard output is out before the command counts as done, and before anything is committed
    where its ``handle`` is ``committed_once_told``. One that commits on its way calls ``begin`` before it changes
    anything.
    """

    needs_current_database = False  # whether it is refused, but for a dry run, where a backup was put back

    def execute(self, *args: Any, **options: Any) -> Any:
        try:
            if self.needs_current_database and not options.get("dry_run"):
                check_database_is_current()
            try:
                result = super().execute(*args, **options)
            finally:
                self.stdout.flush()
        except (ValidationError, UnicodeError, PermissionDenied, ClockDiffers) as error:
            raise CommandError(in_a_line(error), returncode=1) from error
        except (OSError, OperationalError) as error:
            drop(self.stdout)
            reason = f"{error.__context__} " if isinstance(error.__context__, CommandError) else ""
            raise CommandError(reason + in_a_line(error), returncode=1) from error
        except ProgrammingError as error:
            if not isinstance(error.__cause__, UndefinedTable | UndefinedColumn):
                raise
            raise CommandError(
                "The database has no tables of this release yet: run manage.py migrate first.", returncode=1
            ) from error
        return result

    def begin(self, line: str) -> None:
        """Say what begins, so that a command whose output cannot be written ends before it has changed anything."""
        self.stdout.write(line)
        self.stdout.flush()


def committed_once_told(handle: Callable[..., None]) -> Callable[..., None]:
    """Run the ``handle`` of a command in one transaction, which is committed once all its output is out."""

    @functools.wraps(handle)
    def wrapped(command: BaseCommand, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            handle(command, *args, **options)
            command.stdout.flush()

    return wrapped


def check_database_is_current() -> None:
    """Raise ``CommandError`` while ``REASON_TO_REFUSE_COMMANDS`` has one: what was done since the backup comes first.

    Until then new rows could get the ids of those that are to be deleted again, and what is set now would be
    overwritten by what was set then.
    """
    if reason := import_string(settings.REASON_TO_REFUSE_COMMANDS)():
        raise CommandError(reason, returncode=1)


def in_a_line(error: Exception) -> str:
    """Return what to tell whoever typed the command."""
    match error:
        case ValidationError():
            return " ".join(lines_of(error))
        case UnicodeError():
            return "The input is not UTF-8."
        case PermissionDenied():
            return str(error) or "Not allowed."
        case OSError():
            return str(error) or type(error).__name__
        case OperationalError():
            return f"The database says: {str(error).strip().splitlines()[0] if str(error).strip() else error}"
    return str(error)


def lines_of(error: ValidationError) -> list[str]:
    """Return the messages, each with the field it is about."""
    if not hasattr(error, "error_dict"):
        return list(error.messages)
    fields = error.message_dict.items()
    return [line if field == "__all__" else f"{field}: {line}" for field, lines in fields for line in lines]


def drop(output: OutputWrapper) -> None:
    """Let go of what ``output`` does not take: Python would complain of it once more when it ends."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), output.fileno())
