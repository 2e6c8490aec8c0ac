"""``manage.py export_environment``: write an environment to a folder, as ``import_conversations`` reads it."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from conversations.export.environments import count_readable, export_to_folder
from conversations.management.lookups import UNUSABLE, environment_with_slug
from web.clock import database_now
from web.commands import RefusingCommand


class Command(RefusingCommand):
    help = (
        "Write the conversations of an environment to a new folder, in the format of import_conversations, with their "
        "files. Leaves out what is past the environment's limit. Delete the folder once it is no longer needed: the "
        "purge does not reach it. Exit code 0: all written; 1: files are missing, lines are too long, or an error; 2: "
        "the folder or the environment cannot be used."
    )
    needs_current_database = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("folder", metavar="FOLDER", type=Path, help="the folder to write, which must not exist yet")
        parser.add_argument("--dry-run", action="store_true", help="count what would be written, and write nothing")

    def handle(self, *, slug: str, folder: Path, dry_run: bool, **options: Any) -> None:
        environment, now = environment_with_slug(slug), database_now()
        if folder.exists():
            raise CommandError(_("%(folder)s exists already.") % {"folder": folder}, returncode=UNUSABLE)
        if dry_run:
            self.write_counts(
                _("Would be exported from %(slug)s") % {"slug": slug}, count_readable(environment, now=now)
            )
            return
        self.begin(_("Exporting %(slug)s to %(folder)s.") % {"slug": slug, "folder": folder})
        part = export_to_folder(environment, folder, now=now)
        self.write_counts(_("Exported from %(slug)s") % {"slug": slug}, part.counts)
        if part.missing or part.too_long:
            problems = _(
                "Not complete: files that storage does not have: %(missing)s; lines that are too long to be imported: "
                "%(long)s."
            )
            raise CommandError(problems % {"missing": len(part.missing), "long": len(part.too_long)}, returncode=1)

    def write_counts(self, title: str, counts: dict[str, int]) -> None:
        self.stdout.write(f"{title}: {', '.join(f'{number:,} {kind}' for kind, number in counts.items())}")
