"""Create the tables of an embedded database at its first use."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import django
from django.core.management import call_command
from django.db import connection

from devserver.embedded.locks import Lock

# Commands that manage the tables themselves, or need none.
WITHOUT_MIGRATING = {
    "migrate",
    "makemigrations",
    "showmigrations",
    "sqlmigrate",
    "squashmigrations",
    "check",
    "dbshell",
    "shell",
}


def create_tables(arguments: Sequence[str]) -> None:
    """Migrate a database without tables before ``manage.py`` runs a command with these arguments."""
    if arguments[1] in WITHOUT_MIGRATING:
        return
    django.setup()
    with Lock(Path(os.environ["STUDIO_STATE"]) / "tables.lock") as lock:
        lock.take()
        if "django_migrations" not in connection.introspection.table_names():
            sys.stderr.write("This is the first command on a new database: creating its tables …\n")
            call_command("migrate", verbosity=0, interactive=False)
