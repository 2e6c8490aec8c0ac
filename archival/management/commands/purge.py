"""``manage.py purge``: start a run of the purge now, as Celery beat does every few minutes."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from rich.console import Console
from rich.table import Table

from archival.choices import COUNTS, RunState
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
            self.show([(each.label, each) for each in due], "Would be permanently deleted")
            self.write_obstacles(due, now=now)
            return
        self.begin("Permanently deleting what is past its limit.")
        run = engine.purge(now=now, sleep_ratio=0 if catch_up else None, confirm_gap=confirm_gap)
        receipts = run.receipts.order_by("environment_label", "pk")
        self.show([(receipt.environment_label, receipt) for receipt in receipts], "Permanently deleted")
        emptied = delete_blobs(now=now)
        self.stdout.write(f"Run {run.pk}: {RunState(run.state).label}. Files deleted: {emptied.deleted}.")
        if emptied.failed:
            self.stdout.write(f"Files that storage did not delete: {emptied.failed}; the next runs try again.")
        if run.alarm:
            raise CommandError(run.alarm)

    def write_obstacles(self, due: list[PurgeCounts], *, now: datetime) -> None:
        """Write why a run would leave some of this alone, and where it would stop at its maximum."""
        if not settings.PURGE_ENABLED:
            self.stdout.write("The purge is switched off (PURGE_ENABLED): a run deletes none of this.")
        if gap := gap_before(now):
            self.stdout.write(gap.description)
        for guard in Guard.objects.filter(confirmed_at=None).select_related("environment").order_by("environment"):
            self.stdout.write(
                f"{guard.environment}: left out until somebody confirms it on the page of its retention ledger."
            )
        for each in due:
            if each.rows > settings.PURGE_LIMIT_PER_ENVIRONMENT:
                most = f"{settings.PURGE_LIMIT_PER_ENVIRONMENT:,}"
                self.stdout.write(f"{each.label}: a run stops after {most} rows, unless somebody has confirmed it.")

    def show(self, rows: list[tuple[str, Any]], title: str) -> None:
        table = Table(title=title)
        table.add_column("environment")
        for kind in (*COUNTS, "held"):
            table.add_column(kind, justify="right")
        for label, counts in rows:
            table.add_row(label, *(f"{getattr(counts, kind):,}" for kind in (*COUNTS, "held")))
        totals = (sum(getattr(counts, kind) for _, counts in rows) for kind in (*COUNTS, "held"))
        table.add_row("total", *(f"{total:,}" for total in totals))
        with (console := Console(width=120)).capture() as captured:
            console.print(table)
        self.stdout.write(captured.get())
