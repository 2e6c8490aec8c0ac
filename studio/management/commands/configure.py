"""Set an organisation's two advanced settings."""

from argparse import ArgumentTypeError
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from archival.engine.guards import confirm_in_advance
from archival.management.journalled import JournalledCommand
from archival.policy.services import change_retention
from environments.caller import SYSTEM
from environments.choices import LONGEST_LIMIT_DAYS, Archival, MfaSetting
from environments.management.lookups import organisation_with_slug
from environments.models import Organisation
from environments.policies.effective import advanced_settings
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import schedule_mfa
from environments.policies.resolve import lock_policies
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa
from web.clock import agreed_now
from web.commands import commit_after_output
from web.typed import instant, whole_number


def read_retention(value: str) -> Retention:
    """Return the value for N, keep or inherit. Raises ``ArgumentTypeError``."""
    if value in (Archival.KEEP, Archival.INHERIT):
        return Retention(value)
    days = whole_number(value) or 0
    if 1 <= days <= LONGEST_LIMIT_DAYS:
        return Retention.limit(days)
    raise ArgumentTypeError(f"{value!r} is not 1..{LONGEST_LIMIT_DAYS}, keep or inherit")


def read_instant(value: str) -> datetime:
    """Return the instant of ISO 8601 with an offset. Raises ``ArgumentTypeError``."""
    try:
        return instant(value)
    except ValueError:
        raise ArgumentTypeError(f"{value!r} is not ISO 8601 with an offset, such as 2027-01-01T09:00+01:00") from None


class Command(JournalledCommand):
    help = (
        "Set the advanced settings of an organisation. With a number of days, conversation data below it that is"
        " older is permanently deleted."
    )
    needs_current_database = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--require-mfa", choices=MfaSetting.values)
        parser.add_argument(
            "--from",
            dest="starts_at",
            metavar="INSTANT",
            type=read_instant,
            help="with --require-mfa on: from when it holds, ISO 8601 with an offset (2027-01-01T09:00+01:00)",
        )
        parser.add_argument("--archive-after-days", metavar="N|keep|inherit", type=read_retention)
        parser.add_argument(
            "--archive-from",
            metavar="INSTANT",
            type=read_instant,
            help="with --archive-after-days: from when it holds, if that is later than the cooling-off",
        )
        parser.add_argument(
            "--now",
            action="store_true",
            help="let a shorter limit act without the cooling-off, and confirm what it deletes",
        )

    @commit_after_output
    def handle(self, *args: Any, **options: Any) -> None:
        check_usage(options)
        organisation, now = organisation_with_slug(options["slug"]), agreed_now()
        lock_policies()  # so that values that the options leave out do not change meanwhile
        organisation.refresh_from_db()
        if options["require_mfa"] is not None:
            self.set_mfa(organisation, options, now=now)
        if options["archive_after_days"] is not None:
            self.set_retention(organisation, options, now=now)
        organisation.refresh_from_db()
        self.stdout.write(summary(organisation))

    def set_mfa(self, organisation: Organisation, options: dict[str, Any], *, now: datetime) -> None:
        to = MfaRule(options["require_mfa"]).with_lock_of(MfaRule.of(organisation))
        if options["starts_at"] is None:
            set_require_mfa(organisation, to=to, by=SYSTEM, now=now)
        elif change := schedule_mfa(organisation, to=to, acts_at=options["starts_at"], by=SYSTEM, now=now):
            required = _("%(slug)s: MFA required from %(at)s UTC")
            self.stdout.write(required % {"slug": organisation.slug, "at": f"{change.acts_at:%Y-%m-%d %H:%M}"})

    def set_retention(self, organisation: Organisation, options: dict[str, Any], *, now: datetime) -> None:
        try:
            change = change_retention(
                organisation,
                to=options["archive_after_days"].with_lock_of(Retention.of(organisation)),
                by=SYSTEM,
                now=now,
                at_once=options["now"],
                starts_at=options["archive_from"],
            )
        except ValidationError as error:
            if "typed_name" not in getattr(error, "error_dict", {}):
                raise
            text = _("This permanently deletes data at once, as COOLING_OFF_HOURS is 0. Confirm it with --now.")
            raise CommandError(text) from None
        if change is not None and change.is_pending:
            pending = _("%(slug)s: pending, acts at %(at)s UTC")
            self.stdout.write(pending % {"slug": organisation.slug, "at": f"{change.acts_at:%Y-%m-%d %H:%M}"})
        elif options["now"]:
            confirm_in_advance(organisation, by=SYSTEM, now=now)


def check_usage(options: dict[str, Any]) -> None:
    """Raise ``CommandError`` for options that do not go together."""
    if options["require_mfa"] is None and options["archive_after_days"] is None:
        raise CommandError(_("Nothing to set: give --require-mfa or --archive-after-days."), returncode=2)
    if options["starts_at"] is not None and options["require_mfa"] != MfaSetting.ON:
        raise CommandError(_("--from goes with --require-mfa on."), returncode=2)
    if options["archive_from"] is not None and (options["archive_after_days"] is None or options["now"]):
        raise CommandError(_("--archive-from goes with --archive-after-days, and not with --now."), returncode=2)


def summary(organisation: Organisation) -> str:
    """Return the effective values in one line."""
    settings = advanced_settings(organisation, viewer=SYSTEM)
    mfa, retention = settings.require_mfa, settings.archival
    days, limit = retention.effective.value.days, retention.own.days
    own = f"limit to {in_days(limit)}" if limit else retention.own.archival
    return (
        f"{organisation.slug}: MFA {'required' if mfa.effective.value.is_on else 'not required'}"
        f" (own value: {mfa.own.value});"
        f" {'keeps everything' if days is None else f'permanently deletes after {in_days(days)}'} (own value: {own})"
    )


def in_days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
