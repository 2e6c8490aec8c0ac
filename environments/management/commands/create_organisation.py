"""Create a node of the tree."""

from typing import Any

from django.core.management.base import CommandParser

from environments.caller import SYSTEM
from environments.choices import Kind
from environments.management.lookups import organisation_with_slug
from environments.tree.services import create_organisation
from web.commands import RefusingCommand, commit_after_output


class Command(RefusingCommand):
    help = "Create an organisation: a market, distributor, agency, customer or environment. Prints its short name."
    needs_current_database = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="display name")
        parser.add_argument("--kind", required=True, choices=Kind.values)
        parser.add_argument("--parent", metavar="SLUG", help="short name of the organisation above; roots have none")
        parser.add_argument("--slug", default="", help="short name; made from the name where it is not given")

    @commit_after_output
    def handle(self, *args: Any, **options: Any) -> None:
        parent = organisation_with_slug(options["parent"]) if options["parent"] else None
        made = create_organisation(
            options["name"], kind=options["kind"], parent=parent, slug=options["slug"], by=SYSTEM
        )
        self.stdout.write(made.slug)
