"""Encrypt every TOTP secret with the newest key, so that older keys can be removed."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from accounts.factors.rotation import rotate
from web.commands import RefusingCommand


class Command(RefusingCommand):
    help = (
        "Encrypt every TOTP secret and every waiting mail with the first of TOTP_KEYS. Put the new key in front, "
        "restart, run this, and drop the old key once none is left on it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count what would be encrypted, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["dry_run"]:
            self.begin(_("Encrypting with the newest key."))
        done = rotate(dry_run=options["dry_run"])
        counts = {"rotated": done.rotated, "newest": done.newest, "left": done.left, "lost": done.lost}
        if options["dry_run"]:
            text = _("%(newest)s secrets are on the newest key, %(left)s on older ones. Nothing was changed.")
        else:
            text = _("%(rotated)s secrets re-encrypted: %(newest)s are on the newest key, %(left)s on older ones.")
        self.stdout.write(text % counts)
        if done.lost:
            missing = _("No key of TOTP_KEYS opens %(lost)s secrets: a key is missing.")
            raise CommandError(missing % counts, returncode=1)
