"""Set an organisation's two advanced settings."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from archival.services import change_retention, confirm_ahead
from environments.choices import LONGEST_LIMIT_DAYS, Archival, MfaSetting
from environments.management.refusals import RefusingCommand, organisation_called
from environments.models import Organisation
from environments.services import set_require_mfa


def archival_setting(value: str) -> tuple[str, int | None]:
    """Read N, keep or inherit."""
    if value in (Archival.KEEP, Archival.INHERIT):
        return value, None
    if value.isascii() and value.isdigit() and 1 <= int(value) <= LONGEST_LIMIT_DAYS:
        return Archival.LIMIT, int(value)
    raise ArgumentTypeError(f"{value!r} is not 1..{LONGEST_LIMIT_DAYS}, keep or inherit")


class Command(RefusingCommand):
    help = (
        "Set the advanced settings of an organisation. With a number of days, conversation data below it that is"
        " older is permanently deleted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--require-mfa", choices=MfaSetting.values)
        parser.add_argument("--archive-after-days", metavar="N|keep|inherit", type=archival_setting)
        parser.add_argument(
            "--now",
            action="store_true",
            help="let a shorter limit act without the cooling-off, and confirm what it deletes",
        )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        if options["require_mfa"] is None and options["archive_after_days"] is None:
            raise CommandError("Nothing to set: give --require-mfa or --archive-after-days.", returncode=2)
        organisation, now = organisation_called(options["slug"]), timezone.now()
        if options["require_mfa"] is not None:
            set_require_mfa(organisation, value=options["require_mfa"], by=None, now=now)
        if options["archive_after_days"] is not None:
            archival, days = options["archive_after_days"]
            at_once = options["now"]
            change = change_retention(organisation, archival=archival, days=days, by=None, now=now, at_once=at_once)
            if change is not None and change.is_pending:
                self.stdout.write(f"{organisation.slug}: pending, acts at {change.acts_at:%Y-%m-%d %H:%M} UTC")
            elif at_once:
                confirm_ahead(organisation, by=None, now=now)
        organisation.refresh_from_db()
        self.stdout.write(summary(organisation))


def summary(organisation: Organisation) -> str:
    """Return what holds now, in a line."""
    days = organisation.effective_archive_after_days
    own = (
        f"limit to {organisation.archive_after_days} days" if organisation.archive_after_days else organisation.archival
    )
    return (
        f"{organisation.slug}: MFA {'required' if organisation.effective_require_mfa else 'not required'}"
        f" (own value: {organisation.require_mfa});"
        f" {'keeps everything' if days is None else f'permanently deletes after {days} days'} (own value: {own})"
    )
