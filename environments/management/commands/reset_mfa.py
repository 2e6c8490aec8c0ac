"""Reset the second factors of somebody who lost their device."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.requirement import devices_of
from environments.caller import SYSTEM
from environments.lost_device.services import reset_factors
from environments.management.lookups import user_with_email
from web.commands import RefusingCommand, commit_after_output


class Command(RefusingCommand):
    help = "Remove all second factors and recovery codes of a user, end their sessions and revoke their API keys."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--dry-run", action="store_true", help="show what would be removed, and change nothing")

    @commit_after_output
    def handle(self, *args: Any, **options: Any) -> None:
        user = user_with_email(options["email"])
        if options["dry_run"]:
            names = ", ".join(device.name for device in devices_of(user)) or _("none")
            text = _("%(user)s would lose these factors: %(names)s. Nothing was changed.")
            self.stdout.write(text % {"user": user, "names": names})
            return
        count = reset_factors(user, by=SYSTEM, now=timezone.now())
        text = ngettext(
            "%(user)s lost %(count)s factor. Every session has ended and every key is revoked.",
            "%(user)s lost %(count)s factors. Every session has ended and every key is revoked.",
            count,
        )
        self.stdout.write(text % {"user": user, "count": count})
