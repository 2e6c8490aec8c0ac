"""A backup of the test's own database: a real copy, taken and put back on the server."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from django.db import connection

from archival.readiness import readiness


@contextmanager
def backup() -> Iterator["Backup"]:
    taken = Backup()
    taken.take()
    try:
        yield taken
    finally:
        taken.run(f'DROP DATABASE IF EXISTS "{taken.copy}"')


class Backup:
    def __init__(self) -> None:
        self.name = connection.settings_dict["NAME"]
        self.copy = f"{self.name}_backup"

    def take(self) -> None:
        """Copy the database, which nobody may use meanwhile: servers of earlier tests have left connections open."""
        others = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'"
        copied = f'CREATE DATABASE "{self.copy}" TEMPLATE "{self.name}"'
        self.run(f'DROP DATABASE IF EXISTS "{self.copy}"', others, copied)

    def restore(self) -> None:
        """Put the copy in the place of the database, as after a loss."""
        self.run(f'DROP DATABASE "{self.name}" WITH (FORCE)', f'CREATE DATABASE "{self.name}" TEMPLATE "{self.copy}"')
        readiness.forget()  # the web was stopped and started

    def run(self, *statements: str) -> None:
        connection.close()
        at = connection.settings_dict
        who = {"user": at["USER"], "password": at["PASSWORD"] or None}
        server = psycopg2.connect(host=at["HOST"], port=at["PORT"] or None, dbname="postgres", **who)
        server.autocommit = True
        with server.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        server.close()
