"""What must be done once before the web can start: translations, static files, migrations, demo data.

Each step leaves a fingerprint of what it was made from in ``prepared.json``, and is skipped while that fits: a start
on an unchanged tree does none of them.
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
    """The steps for one state folder; the output of each is in a log of its name."""

    state: Path
    family: Family
    environment: dict[str, str]
    keeps_data: bool  # False where DATABASE_URL names a database that others may change

    def before_web(self) -> None:
        """Do what the web cannot start without. Raises ``StartFailed``, as does ``demo``."""
        self.done = self._read()
        if self._is_empty("django_migrations"):  # somebody took the data away, and left what we remember of them
            for name in ("migrations", "demo"):
                self.done.pop(name, None)
        self.do("translations", ["-m", "studio.translations"], files("locale", "*.po"))
        collect, migrate = ["manage.py", "collectstatic", "--noinput"], ["manage.py", "migrate", "--noinput"]
        # Neither needs the other.
        with self.once("static", collect, assets(), self._static_exists()):
            self.do("migrations", migrate, files("**/migrations", "*.py"), self.keeps_data)

    def demo(self) -> None:
        """Fill an unused database of development."""
        if self._wants_demo():
            self.do("demo", ["manage.py", "seed_demo"], [])

    def do(self, name: str, arguments: list[str], sources: Iterable[Path], trusted: bool = True) -> None:
        with self.once(name, arguments, sources, trusted):
            pass

    @contextlib.contextmanager
    def once(self, name: str, arguments: list[str], sources: Iterable[Path], trusted: bool = True) -> Iterator[None]:
        """Run a step beside the block, and wait for it; nothing where it was done from the same ``sources``."""
        found = fingerprint(sources)
        if trusted and self.done.get(name) == found:
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
        self.done[name] = found
        (self.state / "prepared.json").write_text(json.dumps(self.done))

    def _read(self) -> dict[str, str]:
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((self.state / "prepared.json").read_text()))
        return {}

    def _static_exists(self) -> bool:
        return Path(self.environment.get("STATIC_ROOT") or self.state / "static").exists()

    def _wants_demo(self) -> bool:
        """Demo data belong into a database of development that nobody has used yet, or where they came in part."""
        if self.environment.get("STUDIO_DEVELOPMENT") != "1" or "demo" in self.done:
            return False
        if (self.state / "demo.json").exists():
            return True
        return self._is_empty("accounts_user")

    def _is_empty(self, table: str) -> bool:
        """Tell whether a table of ours has no row, or is not there."""
        with contextlib.closing(connect(self.environment["DATABASE_URL"])) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NULL", [table])
            if cursor.fetchone() == (True,):
                return True
            cursor.execute(f"SELECT NOT EXISTS (SELECT FROM {table})")  # noqa: S608 -- a name of ours
            return cursor.fetchone() == (True,)


def assets() -> list[Path]:
    """Return what static files are made from; the stylesheet is joined from its layers as it is collected."""
    return [*files("**/static", "*"), *files("studio/css", "*.css")]


def files(folders: str, names: str) -> list[Path]:
    """Return the files of these names in these folders of ours."""
    found = []
    for folder in ROOT.glob(folders):
        if not {".venv", ".studio"} & set(folder.relative_to(ROOT).parts):
            found += [path for path in folder.rglob(names) if path.is_file()]
    return sorted(found)


def fingerprint(sources: Iterable[Path]) -> str:
    """Tell this set of files, and the packages, from any other by name, size and time of change."""
    digest = hashlib.sha256((ROOT / "requirements" / "run.txt").read_bytes())
    for path in sources:
        status = path.stat()
        digest.update(f"{path}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
