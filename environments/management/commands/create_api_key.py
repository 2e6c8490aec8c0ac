"""Create an API key for a user."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from environments.caller import SYSTEM
from environments.keys.services import create_personal_key
from environments.management.lookups import organisation_with_slug, user_with_email
from web.commands import RefusingCommand, commit_after_output


class Command(RefusingCommand):
    help = "Create an API key with the permissions of its owner. Prints the key, once, and nothing else."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", required=True, help="what the key is for")
        parser.add_argument("--organisation", metavar="SLUG", help="narrow the key to this organisation")

    @commit_after_output
    def handle(self, *args: Any, **options: Any) -> None:
        owner = user_with_email(options["email"])
        organisation = organisation_with_slug(options["organisation"]) if options["organisation"] else None
        _key, raw = create_personal_key(
            owner, name=options["name"], organisation=organisation, by=SYSTEM, now=timezone.now()
        )
        self.stdout.write(raw)
