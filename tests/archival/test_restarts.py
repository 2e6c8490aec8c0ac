"""The database or the broker stops in the middle of a run and comes back: everything goes, each row counted once."""

import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
from django.utils import timezone

from archival.choices import RunState
from archival.models import PurgeRun, Receipt
from conversations.models import Conversation, Message
from devserver.embedded.postgres import Postgres
from devserver.embedded.processes import Family
from devserver.embedded.valkey import Valkey, free_port
from tests.archival.celery_processes import celery, database_url
from tests.archival.limits import archive_after
from tests.factories import conversation, environment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("beat"), pytest.mark.faults]
OLD, YOUNG = 240, 10
PACE = {"PURGE_EVERY_SECONDS": "2", "PURGE_SLEEP_RATIO": "20"}  # a run takes long enough to stop something under it


@pytest.fixture
def folder():
    """Make a folder that the servers of another account reach."""
    made = Path(tempfile.mkdtemp(prefix="studio-restart-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def family():
    mine = Family()
    yield mine
    mine.stop()


def fill():
    """Store old and young conversations of one environment with a limit of 30 days."""
    acme = archive_after(environment(slug="acme"), 30, now=timezone.now())
    for number in range(OLD + YOUNG):
        conversation(of=acme, days_ago=31 if number < OLD else 1, now=timezone.now())


def wait_for(condition, *, folder, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text()[-3000:] for path in folder.glob("*.log"))
            pytest.fail(f"not within {seconds} s\n{logs}")
        time.sleep(0.05)


def copy_database(postgres, url):
    """Copy the test's database into a server of its own."""
    dump = subprocess.run(
        [postgres.programs / "pg_dump", "--no-owner", "--no-privileges", database_url()],
        capture_output=True,
        check=True,
    )
    subprocess.run(
        [postgres.programs / "psql", "--quiet", "--set=ON_ERROR_STOP=1", url],
        input=dump.stdout,
        capture_output=True,
        check=True,
    )


@contextmanager
def asking(url):
    """Yield a function that asks the other server one thing."""
    other = psycopg2.connect(url)
    other.autocommit = True

    def ask(question):
        with other.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchone()[0]

    try:
        yield ask
    finally:
        other.close()


class Broker(Valkey):
    """A Valkey that comes back at its address after a stop, as a deployment's does; what was queued is lost."""

    def start(self):
        self.port = free_port()
        return self.start_again()

    def start_again(self):
        url = f"redis://:secret@127.0.0.1:{self.port}/0"
        lines = "\n".join(self._configuration(self.port, "secret")).encode()
        self.child = self.family.start("valkey", [self._program(), "-"], log=self.state / "valkey.log", stdin=lines)
        assert self._answers(url)
        return url


COUNT_CONVERSATIONS = "SELECT count(*) FROM conversations_conversation"
FINISHED = "SELECT count(*) FROM archival_purgerun WHERE state = 'done'"


def test_a_database_that_restarts_in_the_middle_of_a_run_loses_and_counts_nothing_twice(folder, family):
    fill()
    postgres = Postgres(folder, family, volatile=True)
    url = postgres.start()
    copy_database(postgres, url)
    with asking(url) as ask:
        assert ask(COUNT_CONVERSATIONS) == OLD + YOUNG
    variables = PACE | {"DATABASE_URL": url}
    with (
        celery("worker", "-P", "solo", "-l", "INFO", folder=folder, **variables),
        celery("beat", "-l", "INFO", "-s", str(folder / "schedule"), folder=folder, **variables),
    ):
        with asking(url) as ask:
            wait_for(lambda: ask(COUNT_CONVERSATIONS) < OLD + YOUNG, folder=folder)
        postgres.stop()
        time.sleep(2)
        assert postgres.start() == url
        with asking(url) as ask:
            at_restart = ask(COUNT_CONVERSATIONS), ask(FINISHED)
            wait_for(lambda: ask(FINISHED), folder=folder)
    assert at_restart[0] > YOUNG, "it stopped in the middle"
    assert at_restart[1] == 0

    with asking(url) as ask:
        assert ask(COUNT_CONVERSATIONS) == ask("SELECT count(*) FROM conversations_message") == YOUNG
        for kind in ("conversations", "messages", "variables", "contacts"):
            assert ask(f"SELECT sum({kind}) FROM archival_receipt") == OLD, "each row once, over all runs"
            assert ask(f"SELECT sum({kind}) FROM archival_purgerun") == OLD


def test_a_broker_that_restarts_in_the_middle_of_a_run_stops_neither_it_nor_the_next(folder, family):
    fill()
    broker = Broker(folder, family)
    variables = PACE | {"REDIS_URL": broker.start()}
    with (
        celery("worker", "-P", "solo", "-l", "INFO", folder=folder, **variables),
        celery("beat", "-l", "INFO", "-s", str(folder / "schedule"), folder=folder, **variables),
    ):
        wait_for(lambda: 0 < Conversation.objects.count() < OLD + YOUNG, folder=folder)
        broker.stop()
        assert not PurgeRun.objects.filter(state=RunState.DONE).exists(), "it stopped in the middle"
        wait_for(lambda: PurgeRun.objects.filter(state=RunState.DONE).exists(), folder=folder)
        conversation(of=Conversation.objects.latest("pk").environment, days_ago=40, now=timezone.now())
        broker.start_again()
        wait_for(lambda: Conversation.objects.count() == YOUNG, folder=folder)

    assert Message.objects.count() == YOUNG
    assert sum(Receipt.objects.values_list("messages", flat=True)) == OLD + 1
