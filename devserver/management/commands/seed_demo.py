"""Fill Studio with the demo data of ``make run``."""

from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from devserver.demo.cast import AGENCIES
from devserver.demo.seed import seed
from environments.models import Organisation
from web.commands import RefusingCommand


class Command(RefusingCommand):
    help = "Create demo organisations, people and 400 days of conversations; a second run changes nothing."
    needs_current_database = True

    def handle(self, *args: Any, **options: Any) -> None:
        known = Organisation.objects.exclude(name="Benelux").order_by("path").first()
        if known and not Organisation.objects.filter(name=AGENCIES[0].name).exists():
            raise CommandError("There are other organisations here; demo data goes into an empty Studio only.")
        self.begin("Filling Studio with the demo data.")
        stored = seed(now=timezone.now(), say=lambda done: self.begin(f"made {done}"))
        self.stdout.write(f"{stored} conversations stored.")
