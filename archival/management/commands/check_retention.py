"""``manage.py check_retention``: show the oldest item of each kind; exit code 1 if one is late."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rich.console import Console
from rich.table import Table

from archival.choices import ProofState as State
from archival.evidence.proof import Finding, check_all_environments
from web.clock import database_now
from web.commands import RefusingCommand


class Command(RefusingCommand):
    help = (
        "Check, with code that shares nothing with the purge, that no data past its limit is left. Exit code 1 if any "
        "is late."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--late", action="store_true", help="show only what is late or held")

    def handle(self, **options: Any) -> None:
        findings = check_all_environments(now=database_now())
        late = [finding for finding in findings if finding.is_late]
        held = [finding for finding in findings if finding.state == State.HELD]
        if shown := [*late, *held] if options["late"] else findings:
            self.print_findings(shown)
        environments = len({finding.environment.pk for finding in findings})
        checked = ngettext("%(number)s environment checked", "%(number)s environments checked", environments)
        result = _("%(late)s findings late, %(held)s held") % {"late": len(late), "held": len(held)}
        self.stdout.write(f"{checked % {'number': environments}}, {result}.")
        if late:
            sys.exit(1)

    def print_findings(self, findings: list[Finding]) -> None:
        table = Table(_("Environment"), _("Kind"), _("Days"), _("Oldest"), _("State"), _("Late by"))
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
