"""manage.py on a machine where nothing is configured: real servers, for as long as somebody uses them."""

import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from devserver.embedded.account import Account, reachable_copy
from devserver.embedded.environment import secrets_of
from tests.running.old_servers import old_postgresql, old_redis
from tests.running.processes import GONE_SECONDS, wait_until

pytestmark = pytest.mark.xdist_group("running")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")


def hold(machine, **environment):
    """Start a command that uses the servers until it is stopped."""
    process = machine.start("-m", "tests.running.command", "SELECT 1", "--hold", **environment)
    assert process.stdout.readline() == "1\n", process.stderr.read()
    return process


def test_a_command_has_a_real_postgresql_and_leaves_nothing_behind(machine):
    version = "from django.db import connection as c; c.ensure_connection(); print(c.pg_version, c.vendor)"
    answer = machine.manage("shell", "--no-imports", "-c", version)
    number, vendor = answer.stdout.split()
    assert int(number) >= 150_000
    assert vendor == "postgresql"
    machine.wait_until_alone()


def test_the_database_is_as_the_service_wants_it(machine):
    values = "current_setting('jit') || current_setting('timezone') || pg_encoding_to_char(encoding) || datlocale"
    answer = machine.sql(f"SELECT {values} FROM pg_database WHERE datname = current_database()")
    assert answer == "offUTCUTF8C.UTF-8"


@pytest.mark.parametrize("words", [["help"], ["--version"], ["migrate", "--help"], []])
def test_commands_that_ask_no_database_start_no_server(machine, words):
    assert machine.manage(*words).returncode == 0
    assert not (machine.state / "postgres").exists()


def test_two_commands_share_servers_and_neither_stops_the_other(machine):
    first, second = hold(machine), hold(machine)
    assert len([line for line in machine.processes() if "bin/postgres -D" in line]) == 1

    first.send_signal(signal.SIGINT)
    first.wait()
    assert machine.sql("SELECT 42") == "42"
    assert second.poll() is None

    second.send_signal(signal.SIGINT)
    second.wait()
    machine.wait_until_alone()


def test_commands_that_start_together_agree_on_one_pair_of_servers(machine):
    answers = []
    together = [threading.Thread(target=lambda: answers.append(machine.sql("SELECT 7"))) for _ in range(3)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert answers == ["7"] * 3
    machine.wait_until_alone()


def test_a_killed_command_leaves_no_process_and_loses_no_data(machine):
    machine.sql("CREATE TABLE kept AS SELECT 'here' AS word")
    process = hold(machine)
    process.kill()
    machine.wait_until_alone()
    assert machine.sql("SELECT word FROM kept") == "here"


@pytest.mark.parametrize("death_signal", ["1", "0"])
def test_a_killed_keeper_takes_its_servers_along(machine, death_signal):
    machine.sql("CREATE TABLE kept AS SELECT 'here' AS word")
    process = hold(machine, STUDIO_DEATH_SIGNAL=death_signal)
    os.kill(machine.pid_of("devserver.embedded.keeper"), signal.SIGKILL)
    wait_until(lambda: not [line for line in machine.processes() if str(process.pid) not in line], GONE_SECONDS)
    process.kill()
    process.wait()
    assert machine.sql("SELECT word FROM kept") == "here"


def test_secrets_are_made_once_for_the_owner_alone(machine):
    secret = ("shell", "--no-imports", "-c", "from django.conf import settings; print(settings.SECRET_KEY)")
    first, second = machine.manage(*secret), machine.manage(*secret)
    assert first.stdout == second.stdout != ""
    path = machine.state / "secrets.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["SECRET_KEY"] == first.stdout.strip()

    assert machine.manage(*secret, SECRET_KEY="mine", TOTP_KEYS="mine").stdout == "mine\n"


def test_a_secret_that_a_later_release_needs_is_added_to_those_that_are_there(tmp_path):
    path = tmp_path / "secrets.json"
    path.write_text('{"SECRET_KEY": "mine", "TOTP_KEYS": "mine too"}')
    stored = secrets_of(tmp_path)
    assert set(stored) == {"SECRET_KEY", "TOTP_KEYS", "SIGNING_KEY"}
    assert (stored["SECRET_KEY"], stored["TOTP_KEYS"]) == ("mine", "mine too")
    assert json.loads(path.read_text()) == secrets_of(tmp_path) == stored


def test_a_container_starts_nothing_and_invents_no_secret(machine):
    answer = machine.manage("migrate", STUDIO_EMBEDDED="0")
    assert answer.returncode != 0
    assert "is not set" in answer.stderr
    assert not machine.state.exists()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"DATABASE_URL": "sqlite:///db.sqlite3"}, "must name a PostgreSQL"),
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/studio"}, "DATABASE_URL does not answer"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "REDIS_URL does not answer"),
        ({"REDIS_URL": "nonsense"}, "REDIS_URL does not answer"),
    ],
)
def test_servers_of_ones_own_that_do_not_serve_are_refused(machine, variables, words):
    answer = machine.manage("migrate", **variables)
    assert answer.returncode == 2
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr
    machine.wait_until_alone()


def test_servers_of_ones_own_that_are_too_old_are_refused(machine):
    with old_postgresql("14.9") as url:
        answer = machine.manage("migrate", DATABASE_URL=url)
    assert (answer.returncode, answer.stderr) == (2, "DATABASE_URL names PostgreSQL 14; Studio needs 15 or newer.\n")
    with old_redis("6.2.14") as url:
        answer = machine.manage("migrate", REDIS_URL=url)
    assert (answer.returncode, answer.stderr) == (2, "REDIS_URL names Redis 6.2.14; Studio needs 7 or newer.\n")


def test_each_server_can_be_replaced_by_itself(machine):
    own_database = hold(machine, DATABASE_URL=os.environ["DATABASE_URL"])
    assert not (machine.state / "postgres").exists()
    assert [line for line in machine.processes() if "valkey-server" in line]
    own_database.send_signal(signal.SIGINT)
    own_database.wait()
    machine.wait_until_alone()

    hold(machine, REDIS_URL=os.environ["REDIS_URL"])
    assert (machine.state / "postgres").exists()
    assert not [line for line in machine.processes() if "valkey-server" in line]


@as_root
def test_root_can_keep_the_state_in_a_closed_home(machine):
    machine.state.parent.chmod(0o700)
    assert machine.sql("CREATE TABLE kept AS SELECT 'here' AS word") == "done"
    home = Path((machine.state / "home").read_text())
    try:
        assert machine.sql("SELECT word FROM kept") == "here"
        assert (home / "postgres" / "PG_VERSION").exists()
    finally:
        machine.wait_until_alone()
        shutil.rmtree(home)


@as_root
def test_root_can_keep_the_programs_in_a_closed_home():
    account = Account.for_servers()
    with tempfile.TemporaryDirectory() as closed, tempfile.TemporaryDirectory() as opened:
        Path(opened).chmod(0o755)
        programs = Path(closed) / "programs"
        programs.mkdir()
        shutil.copy("/bin/true", programs / "true")
        copy = Path(opened) / "copy"

        assert not account.can_enter(programs / "true")
        assert reachable_copy([programs], probe=programs / "true", copy=copy, account=account) == copy
        run = subprocess.run([copy / "programs" / "true"], cwd="/", **account.popen_arguments())
        assert run.returncode == 0


def test_a_first_command_on_a_clone_that_was_only_set_up_does_what_it_is_asked(machine):
    made = machine.manage("create_organisation", "Noorderlicht", "--kind", "agency")
    assert (made.returncode, made.stdout) == (0, "noorderlicht\n"), made.stderr
    assert "Traceback" not in made.stderr
    assert machine.sql("SELECT name FROM environments_organisation") == "Noorderlicht"
