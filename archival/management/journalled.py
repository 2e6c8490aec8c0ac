"""What the commands share whose acts become entries of the journal."""

import contextlib
from typing import Any

from django.core.management.base import CommandError

from archival.journal import entries as journal
from archival.models import JournalEntry
from web.commands import RefusingCommand


class JournalledCommand(RefusingCommand):
    """Fails where the journal could not be written, though what was asked for is done: somebody has to make room."""

    def execute(self, *args: Any, **options: Any) -> Any:
        result = super().execute(*args, **options)
        journal.try_to_write()
        with contextlib.suppress(Exception):  # a storage that does not answer, which is told below
            if journal.is_ahead():
                return result  # an older database writes nothing, and reapply_purges says so
        if JournalEntry.objects.filter(sequence=None).exists():
            raise CommandError(
                "It is done, but the journal could not be written; the reason is above. Its entry waits in the "
                "database, and the worker tries again every minute.",
                returncode=1,
            )
        return result
