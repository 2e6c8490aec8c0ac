"""``manage.py reapply_purges``: after a restore, delete again what was deleted since the backup."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from archival.choices import COUNTS
from archival.journal.receipt_file import NotAuthentic
from archival.management.journalled import JournalledCommand
from archival.restore.reapply import DONE_LABELS, reapply_journal
from web.clock import agreed_now


class Command(JournalledCommand):
    help = (
        "Repeat what was done after the backup from which the database was restored, by the journal: limits, holds, "
        "erasures, deletions and purges. The web answers 503 until this has run. Exit code 1 if an entry could not be "
        "repeated."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count what would be repeated, and change nothing")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        if not dry_run:
            self.begin("Repeating the entries of the journal.")
        try:
            result = reapply_journal(now=agreed_now(), dry_run=dry_run)
        except NotAuthentic as error:
            raise CommandError(
                f"A file of the journal was not signed by this Studio, so nothing was changed. {error}"
            ) from error
        if not result.entries and not result.refused:
            self.stdout.write("This database has every entry of the journal: nothing to repeat.")
            return
        self.stdout.write(f"{result.entries} entries of the journal are newer than this database.")
        for kind, words in DONE_LABELS.items():
            if result.done.get(kind):
                self.stdout.write(f"{words}: {result.done[kind]}")
        title = "would be permanently deleted" if dry_run else "permanently deleted"
        self.stdout.write(f"{title}: " + ", ".join(f"{result.counts[kind]} {kind}" for kind in COUNTS))
        for line in result.refused:
            self.stderr.write(f"not repeated: {line}")
        if result.refused:
            raise CommandError(f"{len(result.refused)} entries could not be repeated; see above.")
