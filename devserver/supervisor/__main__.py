"""Run all processes of Studio until Ctrl-C, or until one ends by itself."""

import json
import os
import signal
import sys
import time
import urllib.request
from pathlib import Path
from types import FrameType
from typing import NoReturn

from devserver.embedded import ServersUnavailable
from devserver.embedded.attach import ROOT, Servers
from devserver.embedded.environment import add_secrets, add_servers, report_refusal, state_folder
from devserver.embedded.locks import Lock
from devserver.embedded.processes import Child, Family, last_lines
from devserver.embedded.valkey import free_port
from devserver.supervisor import demo
from devserver.supervisor.ports import HOST, PortRefused, choose_port
from devserver.supervisor.preparation import Preparation, StartFailed

PERIOD_SECONDS = 0.2
START_SECONDS = 60.0
AFTER_KILL_SECONDS = 10.0  # by then the processes of a killed supervisor have ended


class Stopped(Exception):
    """Somebody pressed Ctrl-C, or sent a signal to stop."""


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
            print_line("Stopping …")
            return 0
        except (StartFailed, ServersUnavailable, OSError) as error:
            print_line(str(error), to_errors=True)
            return 1
        finally:
            self.stop()

    def start(self, port: int) -> None:
        url = f"http://localhost:{port}"
        os.environ["PORT"] = str(port)
        write_running(self.lock, url)
        add_secrets(self.state)
        embedded = not os.environ.get("DATABASE_URL")
        print_line(f"Starting Studio on the data in {self.state} …")
        self.servers = add_servers(self.state)
        provider_port = self.start_provider()
        environment = {**os.environ, "STUDIO_EMBEDDED": "0", "PYTHONUNBUFFERED": "1"}
        preparation = Preparation(self.state, self.family, environment, keeps_data=embedded)
        preparation.before_web()
        web = self.start_python("web", gunicorn(port), environment)
        preparation.seed_demo()
        self.wait_for(web, f"http://{HOST}:{port}/healthz")  # before others use the processor too
        celery = ["-m", "celery", "--app", "studio"]
        self.start_python("worker", [*celery, "worker", "--concurrency", "2", "--loglevel", "INFO"], environment)
        self.start_python("beat", [*celery, "beat", "--loglevel", "INFO"], environment)
        people = demo.read_people(self.state)
        if provider_port:
            demo.register_people(provider_port, people)
        print_line(welcome(url, self.state, people))

    def start_provider(self) -> int:
        """Start the demo provider, which lets anybody in, in development, if no other is set; return its port."""
        if os.environ.get("OIDC_PROVIDERS") or os.environ.get("STUDIO_DEVELOPMENT") != "1":
            return 0
        port = free_port()
        os.environ["OIDC_PROVIDERS"] = demo.provider_settings(port)
        os.environ["PURGE_EVERY_SECONDS"] = os.environ.get("PURGE_EVERY_SECONDS") or "60"
        self.start_python("sso", ["-m", "devserver.supervisor.provider", str(port)], dict(os.environ))
        return port

    def start_python(self, name: str, arguments: list[str], environment: dict[str, str]) -> Child:
        log = self.state / "logs" / f"{name}.log"
        return self.family.start(name, [sys.executable, *arguments], log=log, environment=environment, folder=ROOT)

    def wait_for(self, web: Child, address: str) -> None:
        timeout_ends = time.monotonic() + START_SECONDS
        while not answers(address):
            self.check_processes()
            if time.monotonic() > timeout_ends:
                raise StartFailed(f"The web does not answer. The end of {web.log}:\n{web.last_lines()}")
            time.sleep(0.05)

    def watch(self) -> NoReturn:
        while True:
            self.check_processes()
            time.sleep(PERIOD_SECONDS)

    def check_processes(self) -> None:
        """Raise ``StartFailed`` if one of our processes has ended by itself."""
        if dead := self.family.first_ended():
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
            print_line("PostgreSQL and Valkey stay up until the other command that uses them ends.")
        write_running(self.lock, "")


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


def write_running(lock: Lock, url: str) -> None:
    """Write the process id and the URL of this supervisor into the lock file; an empty ``url`` clears it."""
    lock.file.truncate(0)
    if url:
        json.dump({"pid": os.getpid(), "url": url}, lock.file)
    lock.file.flush()


def read_running(lock: Lock) -> dict[str, object]:
    """Return what ``write_running`` wrote; empty if there is nothing."""
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


def print_line(line: str, *, to_errors: bool = False) -> None:
    stream = sys.stderr if to_errors else sys.stdout
    stream.write(line + "\n")
    stream.flush()


def interrupt(number: int, frame: FrameType | None) -> None:
    raise Stopped


def main() -> int:
    state = state_folder()
    lock = Lock(state / "run.lock")
    if not lock.try_take():
        other = read_running(lock)
        return report_refusal(
            f"Studio runs already on the data in {state}: process {other.get('pid')}, {other.get('url')}."
            " Stop it first, or set STUDIO_STATE to another folder."
        )
    was_killed = bool(read_running(lock))
    try:
        port = choose_port(patience_seconds=AFTER_KILL_SECONDS if was_killed else 0)
    except PortRefused as error:
        return report_refusal(error)
    for number in STOP_SIGNALS:
        signal.signal(number, interrupt)
    with port.reservation:
        return Supervisor(state, lock).run(port.number)


if __name__ == "__main__":
    sys.exit(main())
