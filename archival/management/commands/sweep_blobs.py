"""``manage.py sweep_blobs``: report files without a row, which it can delete, and rows without a file."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _

from archival.files.sweep import sweep_storage
from audit.services import record
from web.clock import agreed_now
from web.commands import RefusingCommand, check_database_is_current


class Command(RefusingCommand):
    help = (
        "Report stored files that no row refers to, and rows whose file is missing, if older than 24 hours. "
        "--delete deletes files without a row. Exit code 1 if it found something that it did not delete."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--delete", action="store_true", help="delete files that no row refers to")
        parser.add_argument("--dry-run", action="store_true", help="only report, even with --delete")

    def handle(self, *, delete: bool, dry_run: bool, **options: Any) -> None:
        if delete and not dry_run:
            check_database_is_current()  # an older database does not know all files
            self.begin(_("Deleting files that no row refers to."))
        swept = sweep_storage(now=agreed_now(), delete=delete and not dry_run)
        for key in swept.orphans:
            self.stdout.write(_("No row: %(key)s") % {"key": printable(key)})
        for key in swept.missing:
            self.stdout.write(_("No file: %(key)s") % {"key": printable(key)})
        if swept.deleted:
            record("blobs.swept", by=None, after={"deleted": swept.deleted})
        counts = {"orphans": len(swept.orphans), "deleted": swept.deleted, "missing": len(swept.missing)}
        result = _("Files without a row: %(orphans)s (%(deleted)s deleted). Rows without a file: %(missing)s.")
        self.stdout.write(result % counts)
        if swept.missing or len(swept.orphans) > swept.deleted:
            sys.exit(1)


def printable(key: str) -> str:
    """Return a name from storage for a terminal: quoted if it has line breaks, control characters or invalid bytes."""
    return key if key.isprintable() else ascii(key)
