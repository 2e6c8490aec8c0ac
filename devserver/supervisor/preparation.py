"""Prepare the start of the web: translations, static files, migrations, demo data.

Each step stores a fingerprint of its source files in ``prepared.json``, and is skipped while they are unchanged.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devserver.embedded.attach import ROOT
from devserver.embedded.processes import Family
from devserver.embedded.versions import connect


class StartFailed(Exception):
    """A step or a process failed; the message has the end of its log."""


@dataclass
class Preparation:
    """The steps for one state folder; the output of each is in the log with its name."""

    state: Path
    family: Family
    environment: dict[str, str]
    keeps_data: bool  # False if DATABASE_URL names a database that others can change

    def before_web(self) -> None:
        """Run the steps that the web needs. Raises ``StartFailed``, as ``seed_demo`` does."""
        self.done = self._read()
        if self._is_empty("django_migrations"):  # somebody deleted the data, but not prepared.json
            for name in ("migrations", "demo"):
                self.done.pop(name, None)
        self.run_step("translations", ["-m", "studio.translations"], files("locale", "*.po"))
        collect, migrate = ["manage.py", "collectstatic", "--noinput"], ["manage.py", "migrate", "--noinput"]
        # Both at once: neither needs the other.
        with self.step("static", collect, assets(), self._static_exists()):
            self.run_step("migrations", migrate, files("**/migrations", "*.py"), self.keeps_data)

    def seed_demo(self) -> None:
        """Store the demo data in an unused database of development."""
        if self._wants_demo():
            self.run_step("demo", ["manage.py", "seed_demo"], [])

    def run_step(self, name: str, arguments: list[str], sources: Iterable[Path], trusted: bool = True) -> None:
        with self.step(name, arguments, sources, trusted):
            pass

    @contextlib.contextmanager
    def step(self, name: str, arguments: list[str], sources: Iterable[Path], trusted: bool = True) -> Iterator[None]:
        """Run a step while the block runs, and wait for it; skip it if ``sources`` are unchanged since it ran."""
        current = fingerprint(sources)
        if trusted and self.done.get(name) == current:
            yield
            return
        log = self.state / "logs" / f"{name}.log"
        command = [sys.executable, *arguments]
        child = self.family.start(name, command, log=log, environment=self.environment, folder=ROOT)
        yield
        status = child.process.wait()
        self.family.stop(child)
        if status:
            raise StartFailed(f"The step {name} failed. The end of {log}:\n{child.last_lines(30)}")
        self.done[name] = current
        (self.state / "prepared.json").write_text(json.dumps(self.done))

    def _read(self) -> dict[str, str]:
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((self.state / "prepared.json").read_text()))
        return {}

    def _static_exists(self) -> bool:
        return Path(self.environment.get("STATIC_ROOT") or self.state / "static").exists()

    def _wants_demo(self) -> bool:
        """Return whether to seed: in development, if the database is unused or an earlier seeding did not finish."""
        if self.environment.get("STUDIO_DEVELOPMENT") != "1" or "demo" in self.done:
            return False
        if (self.state / "demo.json").exists():
            return True
        return self._is_empty("accounts_user")

    def _is_empty(self, table: str) -> bool:
        """Return whether a table has no row, or does not exist."""
        with contextlib.closing(connect(self.environment["DATABASE_URL"])) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NULL", [table])
            if cursor.fetchone() == (True,):
                return True
            cursor.execute(f"SELECT NOT EXISTS (SELECT FROM {table})")  # noqa: S608 -- a name of ours
            return cursor.fetchone() == (True,)


def assets() -> list[Path]:
    """Return the sources of static files, with the layers of the stylesheet."""
    return [*files("**/static", "*"), *files("studio/css", "*.css")]


def files(folders: str, names: str) -> list[Path]:
    """Return the files that match ``names`` in the repository's folders that match ``folders``."""
    paths = []
    for folder in ROOT.glob(folders):
        if not {".venv", ".studio"} & set(folder.relative_to(ROOT).parts):
            paths += [path for path in folder.rglob(names) if path.is_file()]
    return sorted(paths)


def fingerprint(sources: Iterable[Path]) -> str:
    """Return a hash of the files' names, sizes and times of change, and of the installed packages."""
    digest = hashlib.sha256((ROOT / "requirements" / "run.txt").read_bytes())
    for path in sources:
        status = path.stat()
        digest.update(f"{path}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
