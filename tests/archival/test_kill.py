"""Workers killed at random points: the same rows go, each is counted once, and no file is left over."""

import os
import random
import signal
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Sum

from archival.choices import COUNTS
from archival.engine.run import Limits, purge
from archival.files.outbox import delete_blobs
from archival.models import BlobToDelete, PurgeRun, Receipt
from conversations.models import Attachment, Blob, ConversationVariable, Message
from tests.archival import oracle
from tests.archival.limits import archive_after
from tests.factories import NOW, attachment, bulk_conversations, environment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("beat"), pytest.mark.faults]
KILLS = 50
SMALL = Limits(conversations=3, messages=6, per_conversation=4, contacts=5)


def fill(of, *, conversations, seed):
    """Store conversations of mixed ages; of every four, one has a file of its own and another one shares it."""
    chance = random.Random(seed)
    ages = [
        sorted((chance.choice([1, 5, 29, 31, 40, 90]) for _ in range(chance.randrange(1, 12))), reverse=True)
        for _ in range(conversations)
    ]
    made = bulk_conversations(((NOW - timedelta(days=each[0]), NOW - timedelta(days=each[-1])) for each in ages), of=of)
    Message.objects.bulk_create(
        Message(
            conversation=conversation,
            environment_id=conversation.environment_id,
            seq=seq,
            role="user",
            text="x",
            sent_at=NOW - timedelta(days=age),
        )
        for conversation, each in zip(made, ages, strict=True)
        for seq, age in enumerate(each)
    )
    ConversationVariable.objects.bulk_create(
        ConversationVariable(
            conversation=each, environment_id=each.environment_id, key="k", value=1, written_at=each.last_activity_at
        )
        for each in made
    )
    for number in range(0, conversations - 1, 4):
        key = default_storage.save(f"{of.pk}/{number}", ContentFile(f"bytes of {of.pk}/{number}".encode()))
        blob = Blob.objects.create(environment=of, sha256=f"{number}", key=key, size=5)
        for each in made[number : number + 2]:
            attachment(of=each, blob=blob, at=each.oldest_item_at)


def purge_for_ever():
    while True:
        purge(now=NOW, limits=SMALL, sleep_ratio=0)


def empty_for_ever():
    while True:
        delete_blobs(now=NOW)


@contextmanager
def slow_batches():
    """Make every batch take a moment inside its transaction, so that the work outlasts the kills on any machine."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END';"
            "CREATE TRIGGER take_time BEFORE UPDATE OF batch_count ON archival_purgerun"
            " FOR EACH ROW EXECUTE FUNCTION take_time()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION take_time CASCADE")


def start_worker(work):
    """Fork a process that does this until it is killed; returns its id and the work."""
    connection.close()
    pid = os.fork()
    if pid:
        return pid, work
    # Where a browser's event loop runs in the parent, the child sees the connection from before that loop: the parent's
    # own. It is put aside, still open, and the child opens another.
    inherited, connection.connection = connection.connection, None
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('application_name', %s, false)", [name_of(os.getpid())])
        assert connection.connection is not inherited
        work()
    finally:
        os._exit(1)


def name_of(pid):
    return f"worker {pid}"


def wait_until_connected(pid):
    """Wait for a process that has just begun: a busy machine takes its time to."""
    deadline = time.monotonic() + 10
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT FROM pg_stat_activity WHERE application_name = %s", [name_of(pid)])
            if cursor.rowcount:
                return
            time.sleep(0.01)
    raise AssertionError(f"worker {pid} did not come")


def kill(pid):
    """Stop the process where it is, kill it there, and return whether it was in a transaction that had written."""
    os.kill(pid, signal.SIGSTOP)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(backend_xid) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            [name_of(pid)],
        )
        was_writing = cursor.fetchone()[0] > 0
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return was_writing


def test_killed_at_fifty_random_points_two_workers_converge_on_what_the_oracle_says():
    environments = [archive_after(environment(), days) for days in (30, 30, 60)]
    forever = environment()
    for seed, each in enumerate([*environments, forever]):
        fill(each, conversations=300 if each != forever else 10, seed=seed)
    wanted = oracle.expected(NOW)
    chance = random.Random(7)
    hits, left_at = 0, []
    with slow_batches():
        workers = [start_worker(work) for work in (purge_for_ever, purge_for_ever, empty_for_ever)]
        try:
            for _ in range(KILLS):
                pid, work = workers.pop(chance.choice([0, 0, 1, 1, 2]))
                wait_until_connected(pid)
                time.sleep(chance.uniform(0.005, 0.12))
                hits += kill(pid)
                left_at.append(Message.objects.count())
                workers.insert(2 if work is empty_for_ever else 0, start_worker(work))
        finally:
            for pid, _ in workers:
                kill(pid)
    assert hits >= 10, "enough of them died in the middle of a transaction"
    assert len(set(left_at)) > KILLS / 2, "and all along, not after the end"
    finish()

    left = oracle.present()
    referenced = set(Attachment.objects.exclude(blob=None).values_list("blob", flat=True))
    assert (left.messages, left.variables, left.attachments) == (wanted.messages, wanted.variables, wanted.attachments)
    assert (left.conversations, left.contacts) == (wanted.conversations, wanted.contacts)
    for pk, counts in wanted.receipts.items():
        totals = Receipt.objects.filter(environment=pk).aggregate(**{kind: Sum(kind, default=0) for kind in COUNTS})
        assert totals == {kind: counts[kind] for kind in COUNTS}, "every row is counted once"
    runs = PurgeRun.objects.aggregate(**{kind: Sum(kind, default=0) for kind in COUNTS})
    assert runs == {kind: sum(counts[kind] for counts in wanted.receipts.values()) for kind in COUNTS}
    assert set(Blob.objects.values_list("pk", flat=True)) == referenced
    stored = {
        f"{each.pk}/{name}" for each in [*environments, forever] for name in default_storage.listdir(f"{each.pk}")[1]
    }
    keys = set(Blob.objects.values_list("key", flat=True))
    assert stored == keys, "no file without a row, and none missing"
    for key in keys:
        with default_storage.open(key) as opened:
            assert opened.read() == f"bytes of {key}".encode()


def finish():
    """Purge until nothing is left to do: a killed worker's backend may hold its locks a moment longer."""
    for _ in range(50):
        run = purge(now=NOW, sleep_ratio=0)
        delete_blobs(now=NOW)
        if not run.batch_count and not BlobToDelete.objects.exists():
            return
        time.sleep(0.2)
