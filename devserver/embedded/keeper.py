"""The process that owns the servers of one state folder; started by ``attach``, ends when nobody uses them any more.

``python -m devserver.embedded.keeper STATE postgres,valkey [--volatile]`` prints one line of JSON, ``{"ready": …}`` or
``{"error": …}``. ``--volatile`` is for tests: nothing is synced to disk, and the folder goes when the servers go.
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from devserver.embedded.errors import ServersUnavailable
from devserver.embedded.locks import Lock
from devserver.embedded.postgres import Postgres
from devserver.embedded.processes import Family
from devserver.embedded.valkey import Valkey

PERIOD_SECONDS = 0.1


class Asked(Exception):
    """Somebody asked the keeper to end."""


def keep(state: Path, kinds: set[str], *, volatile: bool) -> None:
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
        publish(state, urls)
        say({"ready": True})
        while not in_use.try_take():  # once taken it is kept to the end: newcomers wait for it
            if dead := family.dead():
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


def publish(state: Path, urls: dict[str, str]) -> None:
    unfinished = state / "servers.json.new"
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(urls, file)
    unfinished.rename(state / "servers.json")


def say(answer: dict[str, object]) -> None:
    """Answer the process that started this one, if it still listens; discard all output from then on."""
    try:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def end(number: int, frame: FrameType | None) -> None:
    raise Asked


def main() -> int:
    state, kinds = Path(sys.argv[1]), set(sys.argv[2].split(","))
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keeper = Lock(state / "keeper.lock")
    keeper.take()  # waits for a predecessor that is still stopping its servers
    try:
        keep(state, kinds, volatile="--volatile" in sys.argv)
    except Asked:
        return 0
    except ServersUnavailable as error:
        say({"error": str(error)})
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
