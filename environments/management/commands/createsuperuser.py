"""Refuses Django's own ``createsuperuser``, which accepts any password; ``create_super_user`` checks it."""

from typing import Any

from django.contrib.auth.management.commands.createsuperuser import Command as DjangosCommand
from django.core.management.base import CommandError
from django.utils.translation import gettext as _


class Command(DjangosCommand):
    help = "Refused: use create_super_user."

    def execute(self, *args: Any, **options: Any) -> str:
        raise CommandError(
            _("Use create_super_user EMAIL --password-stdin, which checks the password against the rules.")
        )
