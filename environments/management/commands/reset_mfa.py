"""Let somebody who lost his device begin again."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.requirement import devices_of
from environments.lost_device.services import reset_factors
from environments.management.refusals import user_called
from web.commands import RefusingCommand, committed_once_told


class Command(RefusingCommand):
    help = "Take all second factors and recovery codes away from a user, end his sessions and revoke his API keys."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")

    @committed_once_told
    def handle(self, *args: Any, **options: Any) -> None:
        user = user_called(options["email"])
        if options["dry_run"]:
            names = ", ".join(device.name for device in devices_of(user)) or "none"
            self.stdout.write(f"{user} would lose these factors: {names}. Nothing was changed.")
            return
        count = reset_factors(user, by=None, now=timezone.now())
        self.stdout.write(f"{user} lost {count} factors; every session has ended and every key is revoked.")
