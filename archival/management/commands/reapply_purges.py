"""``manage.py reapply_purges``: after a restore, delete again what was deleted since the backup."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from archival.choices import COUNTS
from archival.journal.receipt_file import NotAuthentic
from archival.management.journalled import JournalledCommand
from archival.restore.reapply import IN_WORDS, reapply
from web.clock import agreed_now


class Command(JournalledCommand):
    help = (
        "After the database was restored from a backup: set again the limits and holds that came since, erase again "
        "whom was erased, delete again what was purged, all from the journal. The web is not ready before it ran. "
        "Exit code 1 if something could not be done again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count what would be done, and do nothing")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        if not dry_run:
            self.begin("Doing again what the journal tells of.")
        try:
            found = reapply(now=agreed_now(), dry_run=dry_run)
        except NotAuthentic as error:
            raise CommandError(f"The journal is not ours, nothing was done. {error}") from error
        if not found.entries and not found.refused:
            self.stdout.write("This database knows all of the journal: there is nothing to do again.")
            return
        self.stdout.write(f"{found.entries} entries of the journal are newer than this database.")
        for kind, words in IN_WORDS.items():
            if found.done.get(kind):
                self.stdout.write(f"{words}: {found.done[kind]}")
        going = "would be permanently deleted" if dry_run else "permanently deleted"
        self.stdout.write(f"{going}: " + ", ".join(f"{found.counts[kind]} {kind}" for kind in COUNTS))
        for line in found.refused:
            self.stderr.write(f"not done again: {line}")
        if found.refused:
            raise CommandError(f"{len(found.refused)} entries could not be done again; see above.")
