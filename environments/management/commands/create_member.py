"""Give somebody a role, creating the user where there is none."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from environments.caller import SYSTEM
from environments.choices import Role
from environments.management.lookups import add_password_option, get_or_create_user, organisation_with_slug
from environments.memberships import grant_membership
from web.commands import RefusingCommand, commit_after_output


class Command(RefusingCommand):
    help = "Give a user a role in an organisation, accepted at once; a user who does not exist yet is created."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--organisation", required=True, metavar="SLUG")
        parser.add_argument("--role", required=True, choices=Role.values)
        parser.add_argument("--name", default="", help="name of a new user")
        add_password_option(parser)

    @commit_after_output
    def handle(self, *args: Any, **options: Any) -> None:
        organisation = organisation_with_slug(options["organisation"])
        user, is_new, note = get_or_create_user(
            options["email"], password_stdin=options["password_stdin"], name=options["name"]
        )
        membership = grant_membership(user, organisation, roles=[options["role"]], by=SYSTEM, now=timezone.now())
        roles = ", ".join(membership.roles)
        facts = {"user": user, "organisation": organisation.slug, "roles": roles}
        if is_new:
            self.stdout.write(_("%(user)s (new user) in %(organisation)s: %(roles)s") % facts)
        else:
            self.stdout.write(_("%(user)s (existing user) in %(organisation)s: %(roles)s") % facts)
        if note:
            self.stdout.write(note)
