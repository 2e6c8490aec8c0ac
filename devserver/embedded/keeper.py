"""The process that owns the servers of one state folder: ``attach`` starts it, and it ends when nobody uses them.

``python -m devserver.embedded.keeper STATE postgres,valkey [--volatile]`` prints one line of JSON, ``{"ready": …}`` or
``{"error": …}``. ``--volatile`` is for tests: nothing is synced to disk, and the folder is deleted at the end.
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from devserver.embedded import ServersUnavailable
from devserver.embedded.locks import Lock
from devserver.embedded.postgres import Postgres
from devserver.embedded.processes import Family
from devserver.embedded.valkey import Valkey

PERIOD_SECONDS = 0.1


class StopRequested(Exception):
    """Somebody sent SIGTERM."""


def run_servers(state: Path, kinds: set[str], *, volatile: bool) -> None:
    """Start these servers, run until nobody uses them, and stop them. Raises ``ServersUnavailable``."""
    family = Family()
    in_use = Lock(state / "in-use.lock")
    postgres = Postgres(state, family, volatile)
    valkey = Valkey(state, family)
    urls = {}
    try:
        if "valkey" in kinds:
            urls["redis_url"] = valkey.start()
        if "postgres" in kinds:
            urls["database_url"] = postgres.start()
        write_urls(state, urls)
        answer_parent({"ready": True})
        while not in_use.try_take():  # then held until the end, so that new users wait
            if dead := family.first_ended():
                raise ServersUnavailable(f"{dead.name} ended by itself:\n{dead.last_lines()}")
            time.sleep(PERIOD_SECONDS)
    finally:
        (state / "servers.json").unlink(missing_ok=True)
        if "database_url" in urls:
            postgres.stop()
        family.stop()
        if volatile:
            shutil.rmtree(postgres.home, ignore_errors=True)
            shutil.rmtree(state, ignore_errors=True)


def write_urls(state: Path, urls: dict[str, str]) -> None:
    """Write ``servers.json``, readable for the owner only."""
    unfinished = state / "servers.json.new"
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(urls, file)
    unfinished.rename(state / "servers.json")


def answer_parent(answer: dict[str, object]) -> None:
    """Send one line of JSON to the process that started this one, if it still reads; discard later output."""
    try:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def request_stop(number: int, frame: FrameType | None) -> None:
    raise StopRequested


def main() -> int:
    state, kinds = Path(sys.argv[1]), set(sys.argv[2].split(","))
    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keeper = Lock(state / "keeper.lock")
    keeper.take()  # waits for an earlier keeper that is still stopping its servers
    try:
        run_servers(state, kinds, volatile="--volatile" in sys.argv)
    except StopRequested:
        return 0
    except ServersUnavailable as error:
        answer_parent({"error": str(error)})
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
