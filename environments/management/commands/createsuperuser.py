"""Django's own ``createsuperuser`` takes any password without a word, so it is ours that creates super users."""

from typing import Any

from django.contrib.auth.management.commands.createsuperuser import Command as DjangosCommand
from django.core.management.base import CommandError


class Command(DjangosCommand):
    help = "Refused: use create_super_user."

    def execute(self, *args: Any, **options: Any) -> str:
        raise CommandError("Use create_super_user EMAIL --password-stdin, which holds the password to the rules.")
