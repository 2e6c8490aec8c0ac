"""What the commands share whose acts become entries of the journal."""

from typing import Any

from django.core.management.base import CommandError

from archival import journal
from web.commands import RefusingCommand


class JournalledCommand(RefusingCommand):
    """Fails where the journal could not be written, though what was asked for is done: somebody has to make room."""

    def execute(self, *args: Any, **options: Any) -> Any:
        result = super().execute(*args, **options)
        try:
            journal.write()
        except Exception as error:  # storage raises what it likes
            raise CommandError(
                f"It is done, but the journal could not be written: {error}. Its entry waits in the database, and the "
                "worker tries again every minute.",
                returncode=1,
            ) from error
        return result
