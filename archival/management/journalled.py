"""Base class of commands that add entries to the journal."""

import contextlib
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from archival.journal import entries as journal
from archival.models import JournalEntry
from web.commands import RefusingCommand


class JournalledCommand(RefusingCommand):
    """A command that exits with code 1 if its work is done but its entries could not be written to the journal."""

    def execute(self, *args: Any, **options: Any) -> Any:
        result = super().execute(*args, **options)
        journal.try_to_write_entries()
        with contextlib.suppress(Exception):  # storage does not answer; the error below says so
            if journal.database_is_older():
                return result  # an older database writes no entries until reapply_purges has run
        if JournalEntry.objects.filter(sequence=None).exists():
            raise CommandError(
                _(
                    "The command did its work, but the journal could not be written; the reason is above. The entry "
                    "waits in the database, and the worker tries again every minute."
                ),
                returncode=1,
            )
        return result
