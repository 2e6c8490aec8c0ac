"""What must be done once before the web can start: translations, static files, migrations, demo data.

Each step leaves a fingerprint of what it was made from in ``prepared.json``, and is skipped while that fits: a start
on an unchanged tree does none of them.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from studio.embedded.attach import ROOT
from studio.embedded.processes import Family
from studio.embedded.versions import connect


class StartFailed(Exception):
    """A step or a process failed; the message has the end of its log."""


@dataclass
class Preparation:
    """The steps for one state folder; their output is in ``prepare.log``."""

    state: Path
    family: Family
    environment: dict[str, str]
    keeps_data: bool  # False where DATABASE_URL names a database that others may change

    def run(self) -> None:
        """Do what has to be done. Raises ``StartFailed``."""
        self.done = self._read()
        self.once("translations", ["-m", "studio.translations"], files("locale", "*.po"))
        self.once("static", ["manage.py", "collectstatic", "--noinput"], files("**/static", "*"), self._static_exists())
        migrations = files("**/migrations", "*.py")
        self.once("migrations", ["manage.py", "migrate", "--noinput"], migrations, self.keeps_data)
        if self._wants_demo():
            self.once("demo", ["manage.py", "seed_demo"], [])

    def once(self, name: str, arguments: list[str], sources: Iterable[Path], trusted: bool = True) -> None:
        found = fingerprint(sources)
        if trusted and self.done.get(name) == found:
            return
        self.step(name, arguments)
        self.done[name] = found
        (self.state / "prepared.json").write_text(json.dumps(self.done))

    def step(self, name: str, arguments: list[str]) -> None:
        log = self.state / "logs" / "prepare.log"
        child = self.family.start(
            name, [sys.executable, *arguments], log=log, environment=self.environment, folder=ROOT
        )
        status = child.process.wait()
        self.family.stop(child)
        if status:
            raise StartFailed(f"The step {name} failed. The end of {log}:\n{child.last_lines(30)}")

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
        connection = connect(self.environment["DATABASE_URL"])
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT NOT EXISTS (SELECT FROM accounts_user)")
            row = cursor.fetchone()
        return bool(row and row[0])


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
