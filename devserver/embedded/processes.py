"""Start processes that cannot outlive this one, and stop them in order.

Each child leads its own session. Two mechanisms end it with this process: the kernel's parent-death signal (Linux), and
the watchdog (everywhere). ``STUDIO_DEATH_SIGNAL=0`` switches the first off, so that tests can check the second.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devserver.embedded.account import Account

PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """A child process; ``stop_signal`` asks it to end, and ``log`` has its output."""

    name: str
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals
    log: Path

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def last_lines(self, count: int = 15) -> str:
        return last_lines(self.log, count)


@dataclass
class Family:
    """The children of this process, and the watchdog that outlives it by a few seconds. Use it from the main thread."""

    children: list[Child] = field(default_factory=list)
    watchdog: "subprocess.Popen[str] | None" = None

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
        account: Account | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path = Path("/"),
        stdin: bytes = b"",
    ) -> Child:
        """Start a child with its output appended to ``log`` and ``stdin`` as its whole input."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
                preexec_fn=_end_with_parent(stop_signal),
                **(account.popen_arguments() if account else {}),
            )
        child = Child(name, process, stop_signal, log)
        self.children.append(child)
        self._send_to_watchdog(f"start {process.pid} {int(stop_signal)}")
        if process.stdin:
            process.stdin.write(stdin)
            process.stdin.close()
        return child

    def first_ended(self) -> Child | None:
        """Return the first child that ended by itself, or None."""
        return next((child for child in self.children if not child.is_running), None)

    def stop(self, *children: Child, patience_seconds: float = 3.0) -> None:
        """Stop these children, or all of them, at the same time; kill those that take longer than the patience."""
        leaving = list(children or self.children)
        for child in leaving:
            signal_group(child.process, child.stop_signal)
        patience_ends = time.monotonic() + patience_seconds
        for child in leaving:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, patience_ends - time.monotonic()))
            signal_group(child.process, signal.SIGKILL)  # also processes that it left in its group
            child.process.wait()
            self.children.remove(child)
            self._send_to_watchdog(f"end {child.process.pid}")

    def _send_to_watchdog(self, line: str) -> None:
        if self.watchdog is None:
            script = Path(__file__).with_name("watchdog.py")
            self.watchdog = subprocess.Popen(
                [sys.executable, "-I", "-S", str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                text=True,
            )
        assert self.watchdog.stdin is not None
        try:
            self.watchdog.stdin.write(line + "\n")
            self.watchdog.stdin.flush()
        except BrokenPipeError:
            self.watchdog = (
                None  # somebody killed it: the parent-death signal is left, and the next child gets a new one
            )


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return


def last_lines(path: Path, count: int = 15) -> str:
    """Return the last lines of a log, indented for an error message; empty if there is no log."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 20_000))
        lines = file.read().decode(errors="replace").splitlines()[-count:]
    return "\n".join(f"    {line}" for line in lines)


def _end_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux") or os.environ.get("STUDIO_DEATH_SIGNAL") == "0":
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def tie() -> None:
        # Runs after the change of user, which would clear the signal.
        libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return tie
