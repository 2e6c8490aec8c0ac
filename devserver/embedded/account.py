"""Choose the account that the servers run as, and the folder of their files.

PostgreSQL refuses to run as root. For root it runs as ``nobody``, who needs access to its programs and its data;
if a folder above them is closed to that user, they go into a folder of their own below ``/var/tmp``.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPEN_FOLDER = Path("/var/tmp")  # survives a restart, unlike /tmp


@dataclass(frozen=True)
class Account:
    """An unprivileged user; root starts servers as this user."""

    user: int
    group: int

    @classmethod
    def for_servers(cls) -> "Account | None":
        """Return the account for the servers if we are root, else None."""
        if os.geteuid() != 0:
            return None
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    def popen_arguments(self) -> dict[str, Any]:
        return {"user": self.user, "group": self.group, "extra_groups": []}

    def can_enter(self, path: Path) -> bool:
        """Return whether this user can enter the folder ``path``, or run the file ``path``."""
        answer = subprocess.run(["/bin/sh", "-c", 'test -x "$0"', str(path)], cwd="/", **self.popen_arguments())
        return answer.returncode == 0

    def give_folder(self, path: Path) -> None:
        """Create the folder if it does not exist, and make it accessible to this user only."""
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, self.user, self.group)
        path.chmod(0o700)


def home_of_servers(state: Path, account: Account | None) -> Path:
    """Return the folder of the servers' files: the state folder, or the one that its file ``home`` names."""
    state.mkdir(parents=True, exist_ok=True)
    pointer = state / "home"
    if pointer.exists() and Path(pointer.read_text()).is_dir():
        return Path(pointer.read_text())
    if account is None or account.can_enter(state):
        return state
    home = Path(tempfile.mkdtemp(prefix="studio-", dir=OPEN_FOLDER))
    home.chmod(0o711)
    pointer.write_text(str(home))
    return home


def reachable_copy(folders: list[Path], *, probe: Path, copy: Path, account: Account | None) -> Path:
    """Return the parent of ``folders``, or ``copy`` with copies of them if ``account`` cannot run ``probe``."""
    if account is None or account.can_enter(probe):
        return folders[0].parent
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix="copy-", dir=copy.parent))
        for folder in folders:
            shutil.copytree(folder, unfinished / folder.name, symlinks=True)
        unfinished.chmod(0o755)
        unfinished.rename(copy)
    return copy
