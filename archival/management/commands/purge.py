"""``manage.py purge``: start a run of the purge now, as Celery beat does every few minutes."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from rich.console import Console
from rich.table import Table

from archival.choices import COUNT_LABELS, COUNTS, RunState
from archival.engine import run as engine
from archival.engine.gaps import gap_before
from archival.files.outbox import delete_blobs
from archival.management.journalled import JournalledCommand
from archival.models import Guard
from archival.policy.counting import PurgeCounts, count_due
from web.clock import agreed_now


class Command(JournalledCommand):
    help = "Permanently delete what is past its environment's cutoff. --dry-run only counts it."
    needs_current_database = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count what would be deleted, and delete nothing")
        parser.add_argument("--catch-up", action="store_true", help="delete without pauses, in larger batches")
        parser.add_argument(
            "--confirm-gap",
            action="store_true",
            help="start although the last run was more than a day ago; check first that the clock is right",
        )

    def handle(self, *, dry_run: bool, catch_up: bool, confirm_gap: bool, **options: Any) -> None:
        now = agreed_now()
        if dry_run:
            due = count_due(now=now)
            self.print_counts([(each.label, each) for each in due], _("Would be permanently deleted"))
            self.write_obstacles(due, now=now)
            return
        self.begin(_("Permanently deleting data past its limit."))
        run = engine.purge(now=now, sleep_ratio=0 if catch_up else None, confirm_gap=confirm_gap)
        receipts = run.receipts.order_by("environment_label", "pk")
        self.print_counts([(receipt.environment_label, receipt) for receipt in receipts], _("Permanently deleted"))
        emptied = delete_blobs(now=now)
        facts = {"run": run.pk, "state": RunState(run.state).label, "files": emptied.deleted}
        self.stdout.write(_("Run %(run)s: %(state)s. Files deleted: %(files)s.") % facts)
        if emptied.failed:
            failed = _("Files that storage did not delete: %(number)s. The next runs try again.")
            self.stdout.write(failed % {"number": emptied.failed})
        if run.alarm:
            raise CommandError(run.alarm)

    def write_obstacles(self, due: list[PurgeCounts], *, now: datetime) -> None:
        """Print why a run would not delete some of this, and where it would stop at its maximum."""
        if not settings.PURGE_ENABLED:
            self.stdout.write(_("The purge is switched off (PURGE_ENABLED): a run deletes none of this."))
        if gap := gap_before(now):
            self.stdout.write(gap.description)
        for guard in Guard.objects.filter(confirmed_at=None).select_related("environment").order_by("environment"):
            left_out = _("%(environment)s: left out until somebody confirms it on the page of its retention ledger.")
            self.stdout.write(left_out % {"environment": guard.environment})
        for each in due:
            if each.rows > settings.PURGE_LIMIT_PER_ENVIRONMENT:
                stops = _("%(environment)s: a run stops after %(number)s rows, unless somebody has confirmed it.")
                most = f"{settings.PURGE_LIMIT_PER_ENVIRONMENT:,}"
                self.stdout.write(stops % {"environment": each.label, "number": most})

    def print_counts(self, rows: list[tuple[str, Any]], title: str) -> None:
        table = Table(title=title)
        table.add_column(_("Environment"))
        for label in (*COUNT_LABELS.values(), _("Held")):
            table.add_column(str(label), justify="right")
        for label, counts in rows:
            table.add_row(label, *(f"{getattr(counts, kind):,}" for kind in (*COUNTS, "held")))
        totals = (sum(getattr(counts, kind) for _, counts in rows) for kind in (*COUNTS, "held"))
        table.add_row(_("Total"), *(f"{total:,}" for total in totals))
        with (console := Console(width=120)).capture() as captured:
            console.print(table)
        self.stdout.write(captured.get())
