"""``manage.py reapply_purges``: after a restore, repeat what was deleted and changed since the backup."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from archival.journal.receipt_file import NotAuthentic
from archival.management.counts import counts_in_words
from archival.management.journalled import JournalledCommand
from archival.restore.reapply import DONE_LABELS, reapply_journal
from web.clock import agreed_now


class Command(JournalledCommand):
    help = (
        "Repeat in a restored database what the journal says was done after its backup: limits, holds, erasures, "
        "deletions and purges. The web answers 503 until this has run. Exit code 1 if an entry could not be repeated."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count what would be repeated, and change nothing")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        if not dry_run:
            self.begin(_("Repeating the entries of the journal."))
        try:
            result = reapply_journal(now=agreed_now(), dry_run=dry_run)
        except NotAuthentic as error:
            reason = _("A file of the journal was not signed by this Studio, so nothing was changed.")
            raise CommandError(f"{reason} {error}") from error
        if not result.entries and not result.refused:
            self.stdout.write(_("This database has every entry of the journal: nothing to repeat."))
            return
        newer = ngettext(
            "%(number)s entry of the journal is newer than this database.",
            "%(number)s entries of the journal are newer than this database.",
            result.entries,
        )
        self.stdout.write(newer % {"number": result.entries})
        for kind, words in DONE_LABELS.items():
            if result.done.get(kind):
                self.stdout.write(f"{words}: {result.done[kind]}")
        title = _("Would be permanently deleted") if dry_run else _("Permanently deleted")
        self.stdout.write(f"{title}: {counts_in_words(result.counts)}")
        for line in result.refused:
            self.stderr.write(_("Not repeated: %(entry)s") % {"entry": line})
        if number := len(result.refused):
            refused = ngettext(
                "%(number)s entry could not be repeated; see above.",
                "%(number)s entries could not be repeated; see above.",
                number,
            )
            raise CommandError(refused % {"number": number})
