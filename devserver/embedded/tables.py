"""The tables of an embedded database: whoever uses one first creates them."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import django
from django.core.management import call_command
from django.db import connection

from devserver.embedded.locks import Lock

# Commands that are about the tables, or about none.
ABOUT_TABLES = {
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
    """Migrate a database that has no tables yet, before ``manage.py`` does what these arguments ask for."""
    if arguments[1] in ABOUT_TABLES:
        return
    django.setup()
    with Lock(Path(os.environ["STUDIO_STATE"]) / "tables.lock") as lock:
        lock.take()
        if "django_migrations" not in connection.introspection.table_names():
            sys.stderr.write("This is the first command on a new database: creating its tables …\n")
            call_command("migrate", verbosity=0, interactive=False)
