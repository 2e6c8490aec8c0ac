"""Start commands as a person would, and see what is left of them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
GONE_SECONDS = 30.0  # ten are promised; a machine that runs other tests as well may take longer
START_SECONDS = 120.0


def hear_interrupts() -> None:
    """Let a child be stopped by Ctrl-C though the tests run in a background that ignores it: children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def words_of(process: psutil.Process) -> str:
    """Return the command line and the environment of a process, as far as it lives and may be looked at."""
    words: list[str] = []
    with contextlib.suppress(psutil.Error):
        if process.status() != psutil.STATUS_ZOMBIE:
            words += process.cmdline()
            words += map("=".join, process.environ().items())
    return " ".join(words)


class Machine:
    """One state folder, an environment without settings, and every process that works on the folder."""

    def __init__(self, state: Path, environment: dict[str, str]) -> None:
        self.state = state
        self.environment = environment | {"STUDIO_STATE": str(state)}
        self.started: list[subprocess.Popen[str]] = []

    def manage(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a management command to its end."""
        process = self.start_manage(*arguments, **environment)
        output, errors = process.communicate(timeout=START_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def start_manage(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        return self.start("manage.py", *arguments, **environment)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_interrupts,
        )
        self.started.append(process)
        return process

    def sql(self, statement: str, **environment: str) -> str:
        """Run one statement in a command of its own; return the first value that it gives, or its errors."""
        process = self.start("-m", "tests.running.command", statement, **environment)
        output, errors = process.communicate(timeout=START_SECONDS)
        return output.strip() or errors

    def processes(self) -> list[str]:
        """Return the command lines of all living processes of this state folder: of ours, and of the servers."""
        found = ((process.pid, words_of(process)) for process in psutil.process_iter() if process.pid != os.getpid())
        return [f"{pid} {words[:150]}" for pid, words in found if str(self.state) in words]

    def pid_of(self, words: str) -> int:
        """Return the oldest process whose command line has these words."""
        return min(int(line.split()[0]) for line in self.processes() if words in line)

    def wait_until_alone(self) -> None:
        wait_until(lambda: not self.processes(), GONE_SECONDS, lambda: f"left over: {self.processes()}")

    def clean_up(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for line in self.processes():
            with_pid = int(line.split()[0])
            try:
                os.kill(with_pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def wait_until(condition: Callable[[], bool], seconds: float, explain: Callable[[], str] = lambda: "") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, explain()
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False
