"""``manage.py check_heartbeat worker``: a health check for the worker or beat of this machine."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from web.commands import RefusingCommand
from web.heartbeats import PROCESSES, is_alive_here


class Command(RefusingCommand):
    help = "Print whether the worker or beat of this machine is alive. Exit code 1 without a heartbeat for two minutes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("process", choices=PROCESSES)

    def handle(self, *, process: str, **options: Any) -> None:
        if not is_alive_here(process):
            silent = _("There is no heartbeat of %(process)s on this machine from the last two minutes.")
            raise CommandError(silent % {"process": process})
        self.stdout.write(_("%(process)s is alive") % {"process": process})
