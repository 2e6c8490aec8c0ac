"""Create a super user, or make a user one."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from audit.services import record
from environments.management.lookups import add_password_option, get_or_create_user
from web.commands import RefusingCommand, commit_after_output


class Command(RefusingCommand):
    help = "Create a super user; an existing user gets the flag. A super user always logs in with a second factor."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", default="", help="name of a new user")
        add_password_option(parser)

    @commit_after_output
    def handle(self, *args: Any, **options: Any) -> None:
        user, is_new, note = get_or_create_user(
            options["email"], password_stdin=options["password_stdin"], name=options["name"]
        )
        if not user.is_superuser:
            user.is_superuser = True
            user.save(update_fields=["is_superuser"])
            record("super_user.granted", by=None, subject=user)
        text = _("%(user)s (new user) is a super user") if is_new else _("%(user)s (existing user) is a super user")
        self.stdout.write(text % {"user": user})
        if note:
            self.stdout.write(note)
