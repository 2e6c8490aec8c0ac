"""``manage.py sweep_blobs``: files without a row, and rows without a file."""

import sys
from argparse import ArgumentParser
from typing import Any

from archival.files.sweep import sweep
from audit.services import record
from web.clock import agreed_now
from web.commands import RefusingCommand, check_database_is_current


class Command(RefusingCommand):
    help = (
        "Compare stored files with the database both ways and report what has no counterpart (nothing younger than 24 "
        "hours). --delete removes files without a row. Exit code 1 if something was found and is still there."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--delete", action="store_true", help="delete files that no row names")
        parser.add_argument("--dry-run", action="store_true", help="only report, also with --delete")

    def handle(self, *, delete: bool, dry_run: bool, **options: Any) -> None:
        if delete and not dry_run:
            check_database_is_current()  # otherwise the files of what it does not know would go
            self.begin("Deleting files that no row names.")
        found = sweep(now=agreed_now(), delete=delete and not dry_run)
        for key in found.orphans:
            self.stdout.write(f"no row: {in_a_line(key)}")
        for key in found.missing:
            self.stdout.write(f"no file: {in_a_line(key)}")
        if found.deleted:
            record("blobs.swept", by=None, after={"deleted": found.deleted})
        orphans, missing = len(found.orphans), len(found.missing)
        self.stdout.write(f"{orphans} files without a row ({found.deleted} deleted), {missing} blobs without a file.")
        if found.missing or len(found.orphans) > found.deleted:
            sys.exit(1)


def in_a_line(key: str) -> str:
    """Return a name from storage as a terminal may show it: quoted where it has line breaks, controls or odd bytes."""
    return key if key.isprintable() else ascii(key)
