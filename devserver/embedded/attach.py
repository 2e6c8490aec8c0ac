"""Use the servers of a state folder: attach to running ones, or start them."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from devserver.embedded import ServersUnavailable
from devserver.embedded.locks import Lock, is_taken

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Servers:
    """Servers that run until ``release`` or the end of this process, and while another process uses them."""

    state: Path
    lock: Lock
    database_url: str
    redis_url: str
    keeper: "subprocess.Popen[str] | None"  # None if another process started it

    def are_running(self) -> bool:
        if self.keeper is not None:
            return self.keeper.poll() is None
        return is_taken(self.state / "keeper.lock")

    def release(self, timeout_seconds: float = 10) -> bool:
        """Stop using the servers. If nobody else uses them, wait until they have stopped; returns whether they have."""
        self.lock.let_go()
        nobody_else = self.lock.try_take()
        self.lock.close()
        timeout_ends = time.monotonic() + timeout_seconds
        while nobody_else and self.are_running() and time.monotonic() < timeout_ends:
            time.sleep(0.02)
        return nobody_else and not self.are_running()


def attach_servers(state: Path, kinds: Collection[str] = ("postgres", "valkey"), *, volatile: bool = False) -> Servers:
    """Return the running servers of ``state``, starting them if they do not run. Raises ``ServersUnavailable``.

    ``kinds`` are the servers that the caller needs, "postgres" and "valkey"; the URL of one that does not run is "".
    """
    state.mkdir(parents=True, exist_ok=True)
    lock = Lock(state / "in-use.lock")
    lock.share()  # waits while a keeper is stopping
    with Lock(state / "starting.lock") as starting:
        starting.take()
        keeper = None
        if not is_taken(state / "keeper.lock"):
            keeper = _start_keeper(state, kinds, volatile)
        urls = json.loads((state / "servers.json").read_text())
    servers = Servers(state, lock, urls.get("database_url", ""), urls.get("redis_url", ""), keeper)
    if ("postgres" in kinds and not servers.database_url) or ("valkey" in kinds and not servers.redis_url):
        raise ServersUnavailable(
            f"The servers of {state} were started with DATABASE_URL or REDIS_URL set, and this command needs both of"
            " their kinds. Set the same variables here, or stop the other command first."
        )
    return servers


def urls_if_running(state: Path) -> dict[str, str]:
    """Return the URLs of the servers of ``state`` without attaching to them; empty if they do not run."""
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads((state / "servers.json").read_text()))
    return {}


def _start_keeper(state: Path, kinds: Collection[str], volatile: bool) -> "subprocess.Popen[str]":
    log = state / "logs" / "keeper.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "devserver.embedded.keeper", str(state), ",".join(kinds)]
    with log.open("a") as errors:
        keeper = subprocess.Popen(
            command + ["--volatile"] * volatile,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            text=True,
        )
    assert keeper.stdout is not None
    with keeper.stdout as answers:
        line = answers.readline()
    answer = json.loads(line) if line else {"error": f"The servers did not start; see {log}."}
    if "error" in answer:
        keeper.wait()
        raise ServersUnavailable(answer["error"])
    return keeper
