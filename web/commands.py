"""Base class of our commands: errors are one line, and a command that cannot print changes nothing."""

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
from django.utils.translation import gettext as _
from psycopg2.errors import UndefinedColumn, UndefinedTable

from web.clock import ClockDiffers


class RefusingCommand(BaseCommand):
    """A command whose errors are one line on stderr with exit code 1; wrong usage is exit code 2.

    Output is flushed before the command succeeds, and before it commits if its ``handle`` is ``commit_after_output``. A
    command that commits on its way calls ``begin`` before it changes anything.
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
                _("The database has no tables of this release yet: run manage.py migrate first."), returncode=1
            ) from error
        return result

    def begin(self, line: str) -> None:
        """Print what begins; raises if output cannot be written, before anything is changed."""
        self.stdout.write(line)
        self.stdout.flush()


def commit_after_output(handle: Callable[..., None]) -> Callable[..., None]:
    """Decorator: run ``handle`` in one transaction that commits after all output is written."""

    @functools.wraps(handle)
    def wrapped(command: BaseCommand, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            handle(command, *args, **options)
            command.stdout.flush()

    return wrapped


def check_database_is_current() -> None:
    """Raise ``CommandError`` with the reason of ``REASON_TO_REFUSE_COMMANDS``, such as a restored backup, if any.

    After a restore, new rows could get the ids of rows to delete again, and new settings would be overwritten.
    """
    if reason := import_string(settings.REASON_TO_REFUSE_COMMANDS)():
        raise CommandError(reason, returncode=1)


def in_a_line(error: Exception) -> str:
    """Return an error as one line for the terminal."""
    match error:
        case ValidationError():
            return " ".join(lines_of(error))
        case UnicodeError():
            return _("The input is not UTF-8.")
        case PermissionDenied():
            return str(error) or _("Not allowed.")
        case OSError():
            return str(error) or type(error).__name__
        case OperationalError():
            lines = str(error).strip().splitlines()
            return _("The database says: %(error)s") % {"error": lines[0] if lines else error}
    return str(error)


def lines_of(error: ValidationError) -> list[str]:
    """Return the messages, each with the field it is about."""
    if not hasattr(error, "error_dict"):
        return list(error.messages)
    fields = error.message_dict.items()
    return [line if field == "__all__" else f"{field}: {line}" for field, lines in fields for line in lines]


def drop(output: OutputWrapper) -> None:
    """Discard what ``output`` did not accept, so that Python does not report it again at exit."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), output.fileno())
