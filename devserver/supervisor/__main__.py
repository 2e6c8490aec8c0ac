"""Run everything until somebody says stop, or something stops by itself."""

import json
import os
import signal
import sys
import time
import urllib.request
from pathlib import Path
from types import FrameType
from typing import NoReturn

from devserver.embedded.attach import ROOT, Servers
from devserver.embedded.environment import add_secrets, add_servers, refuse, state_folder
from devserver.embedded.errors import ServersUnavailable
from devserver.embedded.locks import Lock
from devserver.embedded.processes import Child, Family, last_lines
from devserver.embedded.valkey import free_port
from devserver.supervisor import demo
from devserver.supervisor.ports import HOST, PortRefused, choose_port
from devserver.supervisor.preparation import Preparation, StartFailed

PERIOD_SECONDS = 0.2
START_SECONDS = 60.0
AFTER_KILL_SECONDS = 10.0  # the processes of a killed predecessor are gone by then


class Stopped(Exception):
    """Somebody pressed Ctrl-C, or sent a signal that asks for the same."""


class Supervisor:
    """All processes of one Studio; ``run`` returns the exit status."""

    def __init__(self, state: Path, lock: Lock) -> None:
        self.state = state
        self.lock = lock
        self.family = Family()
        self.servers: Servers | None = None

    def run(self, port: int) -> int:
        try:
            self.start(port)
            self.watch()
        except Stopped:
            say("Stopping …")
            return 0
        except (StartFailed, ServersUnavailable, OSError) as error:
            say(str(error), to_errors=True)
            return 1
        finally:
            self.stop()

    def start(self, port: int) -> None:
        url = f"http://localhost:{port}"
        os.environ["PORT"] = str(port)
        announce(self.lock, url)
        add_secrets(self.state)
        embedded = not os.environ.get("DATABASE_URL")
        say(f"Starting Studio on the data in {self.state} …")
        self.servers = add_servers(self.state)
        provider_port = self.start_provider()
        environment = {**os.environ, "STUDIO_EMBEDDED": "0", "PYTHONUNBUFFERED": "1"}
        preparation = Preparation(self.state, self.family, environment, keeps_data=embedded)
        preparation.before_web()
        web = self.start_python("web", gunicorn(port), environment)
        preparation.demo()
        self.wait_for(web, f"http://{HOST}:{port}/healthz")  # before the others compete with it for the processor
        celery = ["-m", "celery", "--app", "studio"]
        self.start_python("worker", [*celery, "worker", "--concurrency", "2", "--loglevel", "INFO"], environment)
        self.start_python("beat", [*celery, "beat", "--loglevel", "INFO"], environment)
        people = demo.people(self.state)
        if provider_port:
            demo.register(provider_port, people)
        say(welcome(url, self.state, people))

    def start_provider(self) -> int:
        """Start the demo provider where no other is configured: it lets anybody in, so in development alone."""
        if os.environ.get("OIDC_PROVIDERS") or os.environ.get("STUDIO_DEVELOPMENT") != "1":
            return 0
        port = free_port()
        os.environ["OIDC_PROVIDERS"] = demo.providers(port)
        os.environ["PURGE_EVERY_SECONDS"] = os.environ.get("PURGE_EVERY_SECONDS") or "60"
        self.start_python("sso", ["-m", "oidc_provider_mock", "--port", str(port)], dict(os.environ))
        return port

    def start_python(self, name: str, arguments: list[str], environment: dict[str, str]) -> Child:
        log = self.state / "logs" / f"{name}.log"
        return self.family.start(name, [sys.executable, *arguments], log=log, environment=environment, folder=ROOT)

    def wait_for(self, web: Child, address: str) -> None:
        timeout_ends = time.monotonic() + START_SECONDS
        while not answers(address):
            self.look_after()
            if time.monotonic() > timeout_ends:
                raise StartFailed(f"The web does not answer. The end of {web.log}:\n{web.last_lines()}")
            time.sleep(0.05)

    def watch(self) -> NoReturn:
        while True:
            self.look_after()
            time.sleep(PERIOD_SECONDS)

    def look_after(self) -> None:
        """Raise ``StartFailed`` if something of ours has ended by itself."""
        if dead := self.family.dead():
            raise StartFailed(
                f"The process {dead.name} ended by itself with status {dead.process.returncode}; Studio stops."
                f" The end of {dead.log}:\n{dead.last_lines()}"
            )
        if self.servers and not self.servers.are_running():
            log = self.state / "logs" / "keeper.log"
            raise StartFailed(f"PostgreSQL or Valkey ended; Studio stops. The end of {log}:\n{last_lines(log)}")

    def stop(self) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self.family.stop()
        if self.servers and not self.servers.release():
            say("PostgreSQL and Valkey stay up until the other command that uses them ends.")
        announce(self.lock, "")


STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def gunicorn(port: int) -> list[str]:
    bind = f"{HOST}:{port}"
    return ["-m", "gunicorn", "studio.wsgi:application", "--bind", bind, "--workers", "1", "--graceful-timeout", "2"]


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def announce(lock: Lock, url: str) -> None:
    """Write into the lock file who runs, and where; nothing once all is down."""
    lock.file.truncate(0)
    if url:
        json.dump({"pid": os.getpid(), "url": url}, lock.file)
    lock.file.flush()


def announced(lock: Lock) -> dict[str, object]:
    lock.file.seek(0)
    try:
        return dict(json.loads(lock.file.read()))
    except ValueError:
        return {}


def welcome(url: str, state: Path, people: list[dict[str, object]]) -> str:
    lines = [f"\nStudio is up: {url}\n"]
    if people:
        lines.append(demo.table(people) + "\n")
    lines.append(f"Ctrl-C stops it. Logs are in {state / 'logs'}.")
    return "\n".join(lines)


def say(line: str, *, to_errors: bool = False) -> None:
    stream = sys.stderr if to_errors else sys.stdout
    stream.write(line + "\n")
    stream.flush()


def interrupt(number: int, frame: FrameType | None) -> None:
    raise Stopped


def main() -> int:
    state = state_folder()
    lock = Lock(state / "run.lock")
    if not lock.try_take():
        other = announced(lock)
        return refuse(
            f"Studio runs already on the data in {state}: process {other.get('pid')}, {other.get('url')}."
            " Stop it first, or set STUDIO_STATE to another folder."
        )
    was_killed = bool(announced(lock))
    try:
        port = choose_port(patience_seconds=AFTER_KILL_SECONDS if was_killed else 0)
    except PortRefused as error:
        return refuse(error)
    for number in STOP_SIGNALS:
        signal.signal(number, interrupt)
    with port.reservation:
        return Supervisor(state, lock).run(port.number)


if __name__ == "__main__":
    sys.exit(main())
