"""`make run` from the outside: what it prints, and that nothing outlives it, however it ends."""

import os
import shutil
import signal
import socket

import pytest

from devserver.embedded.valkey import free_port
from tests.running.processes import START_SECONDS, answers, wait_until

pytestmark = [pytest.mark.xdist_group("running"), pytest.mark.faults]

PARTS = {
    "gunicorn studio.wsgi",
    "studio worker",
    "studio beat",
    "devserver.supervisor.provider",
    "bin/postgres -D",
    "valkey-server",
}


class Run:
    """A running Studio on the data of a machine."""

    def __init__(self, machine, **environment):
        self.port = free_port()
        self.machine = machine
        self.process = machine.start("-m", "devserver.supervisor", PORT=str(self.port), **environment)
        self.output = ""
        while "Ctrl-C stops it" not in self.output:
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            self.output += line

    @property
    def url(self):
        return f"http://localhost:{self.port}"

    def parts(self):
        return {part for part in PARTS if any(part in line for line in self.machine.processes())}

    def end(self, number):
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=START_SECONDS)
        return self.process.returncode, errors


@pytest.fixture
def studio(lasting_machine):
    run = Run(lasting_machine)
    yield run
    if run.process.poll() is None:
        run.end(signal.SIGTERM)
    lasting_machine.wait_until_alone()


def test_everything_is_up_when_the_one_url_is_printed(studio):
    assert studio.output.count("http") == 1
    assert f"Studio is up: {studio.url}\n" in studio.output
    assert answers(f"{studio.url}/healthz")
    assert studio.parts() == PARTS


def test_a_second_one_on_the_same_data_is_refused(studio):
    second = studio.machine.start("-m", "devserver.supervisor")
    output, errors = second.communicate(timeout=START_SECONDS)
    assert (second.returncode, output) == (2, "")
    assert f"process {studio.process.pid}, {studio.url}." in errors
    assert answers(f"{studio.url}/healthz")


def test_commands_attach_to_its_servers_and_do_not_stop_them(studio):
    before = studio.machine.pid_of("bin/postgres -D")
    assert studio.machine.sql("SELECT 1") == "1"
    assert studio.machine.pid_of("bin/postgres -D") == before
    assert answers(f"{studio.url}/healthz")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_being_stopped_stops_everything(studio, number):
    assert studio.end(number) == (0, "")
    assert studio.machine.processes() == []


@pytest.mark.parametrize("nets", ["both", "death signal alone", "watchdog alone"])
def test_a_killed_supervisor_leaves_no_process_and_loses_no_data(lasting_machine, nets):
    run = Run(lasting_machine, STUDIO_DEATH_SIGNAL="0" if nets == "watchdog alone" else "1")
    word = nets.replace(" ", "_")
    lasting_machine.sql(f"CREATE TABLE kept_{word} AS SELECT 'here' AS word")
    if nets == "death signal alone":
        os.kill(child_named(run, "watchdog.py"), signal.SIGKILL)

    run.end(signal.SIGKILL)

    lasting_machine.wait_until_alone()
    assert lasting_machine.sql(f"SELECT word FROM kept_{word}") == "here"


def child_named(run, words):
    """Return the supervisor's own child: the keeper has a watchdog as well."""
    with open(f"/proc/{run.process.pid}/task/{run.process.pid}/children") as file:
        children = set(file.read().split())
    return next(
        int(line.split()[0]) for line in run.machine.processes() if words in line and line.split()[0] in children
    )


def test_it_can_be_started_again_at_once_after_a_kill(lasting_machine):
    first = Run(lasting_machine)
    first.process.kill()
    second = Run(lasting_machine)
    assert second.parts() == PARTS
    assert second.end(signal.SIGINT)[0] == 0


@pytest.mark.parametrize(("part", "name"), [("gunicorn studio.wsgi", "web"), ("studio worker", "worker")])
def test_a_part_that_dies_is_named_and_stops_the_rest(studio, part, name):
    log = studio.machine.state / "logs" / f"{name}.log"
    wait_until(lambda: log.exists() and log.stat().st_size > 0, START_SECONDS)  # it may not have said anything yet
    os.kill(studio.machine.pid_of(part), signal.SIGKILL)
    _, errors = studio.process.communicate(timeout=START_SECONDS)
    assert studio.process.returncode == 1
    assert f"The process {name} ended by itself with status -9" in errors
    assert f"logs/{name}.log:\n    " in errors
    studio.machine.wait_until_alone()


def test_a_server_that_dies_stops_the_rest(studio):
    os.kill(studio.machine.pid_of("valkey-server"), signal.SIGKILL)
    _, errors = studio.process.communicate(timeout=START_SECONDS)
    assert studio.process.returncode == 1
    assert "Studio stops" in errors
    studio.machine.wait_until_alone()


@pytest.mark.parametrize("port", ["eighty", "0", "65536", "-1"])
def test_a_port_that_is_none_is_refused(lasting_machine, port):
    process = lasting_machine.start("-m", "devserver.supervisor", PORT=port)
    _, errors = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 2
    assert "PORT must be a number" in errors


def test_a_port_in_use_is_refused(lasting_machine):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        process = lasting_machine.start("-m", "devserver.supervisor", PORT=str(other.getsockname()[1]))
        _, errors = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 2
    assert "is in use by another program" in errors
    lasting_machine.wait_until_alone()


def test_a_database_that_was_taken_away_is_made_again(lasting_machine):
    shutil.rmtree(lasting_machine.state / "postgres")
    run = Run(lasting_machine, STUDIO_DEVELOPMENT="0", DEFAULT_FROM_EMAIL="studio@studio.example")
    assert lasting_machine.sql("SELECT count(*) > 0 FROM django_migrations") == "True"
    assert run.parts() == PARTS - {"devserver.supervisor.provider"}
    assert run.end(signal.SIGINT) == (0, "")
