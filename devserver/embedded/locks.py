"""Locks on files of the state folder by flock(2), which the kernel releases when the process ends."""

import fcntl
from pathlib import Path
from types import TracebackType
from typing import Self


class Lock:
    """An open file with a shared or an exclusive lock; closing it, or the end of the process, releases the lock."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("a+")

    def share(self) -> None:
        """Take the lock shared; waits while another process holds it exclusively."""
        fcntl.flock(self.file, fcntl.LOCK_SH)

    def take(self) -> None:
        """Take the lock exclusively; waits while any other process holds it."""
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def try_share(self) -> bool:
        return self._try(fcntl.LOCK_SH)

    def try_take(self) -> bool:
        return self._try(fcntl.LOCK_EX)

    def let_go(self) -> None:
        fcntl.flock(self.file, fcntl.LOCK_UN)

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _try(self, how: int) -> bool:
        try:
            fcntl.flock(self.file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_taken(path: Path) -> bool:
    """Return whether a process holds the lock of this file exclusively."""
    if not path.exists():
        return False
    with Lock(path) as lock:
        return not lock.try_share()
