"""Encrypt every TOTP secret with the newest key, so that older keys can be removed."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.factors.rotation import rotate
from web.commands import RefusingCommand


class Command(RefusingCommand):
    help = (
        "Seal every TOTP secret and every waiting mail with the first of TOTP_KEYS. Put the new key in front, restart, "
        "run this, and drop the old key once none is left on it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be sealed anew, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["dry_run"]:
            self.begin("Sealing with the newest key.")
        done = rotate(dry_run=options["dry_run"])
        if options["dry_run"]:
            self.stdout.write(
                f"{done.newest} secrets are on the newest key, {done.left} on older ones. Nothing was changed."
            )
        else:
            self.stdout.write(
                f"{done.rotated} secrets sealed anew: {done.newest} are on the newest key, {done.left} on older ones."
            )
        if done.lost:
            raise CommandError(f"{done.lost} secrets open with none of TOTP_KEYS: a key is missing.", returncode=1)
