"""``manage.py check_retention``: show the oldest item left of each kind; exit code 1 if one is late."""

import sys
from argparse import ArgumentParser
from typing import Any

from rich.console import Console
from rich.table import Table

from archival.choices import ProofState as State
from archival.evidence.proof import Finding, check_all_environments
from web.clock import database_now
from web.commands import RefusingCommand


class Command(RefusingCommand):
    help = (
        "Check, with code that shares nothing with the purge, that nothing past its limit is left. Exit code 1 if "
        "something is late."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--late", action="store_true", help="show only what is late or held")

    def handle(self, **options: Any) -> None:
        findings = check_all_environments(now=database_now())
        late = [finding for finding in findings if finding.is_late]
        held = [finding for finding in findings if finding.state == State.HELD]
        if shown := [*late, *held] if options["late"] else findings:
            self.show(shown)
        environments = len({finding.environment.pk for finding in findings})
        self.stdout.write(f"{environments} environments checked, {len(late)} findings late, {len(held)} held.")
        if late:
            sys.exit(1)

    def show(self, findings: list[Finding]) -> None:
        table = Table("environment", "kind", "days", "oldest", "state", "late by")
        for finding in findings:
            days = finding.environment.effective_archive_after_days
            table.add_row(
                finding.environment.slug,
                finding.kind,
                "" if days is None else str(days),
                finding.oldest.isoformat(timespec="seconds") if finding.oldest else "",
                str(finding.state.label),
                str(finding.late_by).split(".")[0] if finding.is_late else "",
            )
        with (console := Console(width=120)).capture() as captured:
            console.print(table)
        self.stdout.write(captured.get())
