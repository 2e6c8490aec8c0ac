"""``manage.py delete_organisation SLUG``: an organisation without children, and everything in it, for good."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from archival.choices import COUNTS
from archival.management.journalled import JournalledCommand
from archival.requests.deletion import check_deletable, count_organisation, delete_organisation
from environments.management.refusals import organisation_called
from web.clock import agreed_now


class Command(JournalledCommand):
    help = (
        "Permanently delete an organisation without children, with all its conversations and contacts; refused while "
        "a legal hold is active in it. Receipts and the audit log stay."
    )
    needs_current_database = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--dry-run", action="store_true", help="count what would go, and delete nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask for the name")

    def handle(self, *, slug: str, dry_run: bool, yes: bool, **options: Any) -> None:
        organisation, now = organisation_called(slug), agreed_now()
        check_deletable(organisation, now=now)
        counts = count_organisation(organisation)
        self.begin(f"{organisation.name}: " + ", ".join(f"{counts[kind]} {kind}" for kind in COUNTS))
        if dry_run:
            return
        if not yes and typed() != organisation.name:
            raise CommandError("That is not its name. Nothing was deleted.")
        run = delete_organisation(organisation, by=None, now=now)
        self.stdout.write(f"{slug} is deleted; run {run.pk} is the receipt.")


def typed() -> str:
    """Return the name that somebody types; empty where the input has ended."""
    try:
        return input("Type its name to permanently delete it: ").strip()
    except EOFError:
        return ""
