"""``manage.py delete_organisation SLUG``: permanently delete an organisation with nothing below it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from archival.management.counts import counts_in_words
from archival.management.journalled import JournalledCommand
from archival.requests.deletion import check_deletable, count_organisation, delete_organisation
from environments.caller import SYSTEM
from environments.management.lookups import organisation_with_slug
from web.clock import agreed_now


class Command(JournalledCommand):
    help = (
        "Permanently delete an organisation with all its conversations and contacts. Refused while another is below it "
        "or a legal hold is active in it. Receipts and the audit log are kept."
    )
    needs_current_database = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--dry-run", action="store_true", help="count what would be deleted, and delete nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask to type the name")

    def handle(self, *, slug: str, dry_run: bool, yes: bool, **options: Any) -> None:
        organisation, now = organisation_with_slug(slug), agreed_now()
        check_deletable(organisation, now=now)
        counts = count_organisation(organisation)
        self.begin(f"{organisation.name}: {counts_in_words(counts)}")
        if dry_run:
            return
        if not yes and ask_for_name() != organisation.name:
            raise CommandError(_("This is not the name of the organisation. Nothing was deleted."))
        run = delete_organisation(organisation, by=SYSTEM, now=now)
        self.stdout.write(_("%(slug)s has been deleted. Its receipt is run %(run)s.") % {"slug": slug, "run": run.pk})


def ask_for_name() -> str:
    """Return the name typed at the prompt, or an empty text at the end of the input."""
    try:
        return input(_("Type the name to permanently delete the organisation:") + " ").strip()
    except EOFError:
        return ""
