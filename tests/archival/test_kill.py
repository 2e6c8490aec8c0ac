"""Workers killed at random points: the same rows go, each is counted once, and no file is left over."""

import os
import random
import signal
import time
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Sum

from archival.blobs import delete_blobs
from archival.choices import COUNTS
from archival.models import BlobToDelete, PurgeRun, Receipt
from archival.purge import Limits, purge
from conversations.models import Attachment, Blob, Contact, Conversation, ConversationVariable, Message
from tests.archival import oracle
from tests.archival.limits import archive_after
from tests.factories import NOW, environment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("beat")]
KILLS = 50
SMALL = Limits(conversations=4, messages=10, per_conversation=4, contacts=5)


def fill(of, *, conversations, seed):
    """Store conversations of mixed ages; every fourth has a file, which it shares with the one before."""
    chance = random.Random(seed)
    blob = None
    for number in range(conversations):
        ages = sorted((chance.choice([1, 5, 29, 31, 40, 90]) for _ in range(10)), reverse=True)
        contact = Contact.objects.create(
            environment=of, external_id=f"c{number}", last_activity_at=NOW - timedelta(days=ages[-1])
        )
        made = Conversation.objects.create(
            environment=of,
            contact=contact,
            external_id=f"v{number}",
            channel="web",
            oldest_item_at=NOW - timedelta(days=ages[0]),
            last_activity_at=NOW - timedelta(days=ages[-1]),
        )
        Message.objects.bulk_create(
            Message(conversation=made, seq=seq, role="user", text="x", sent_at=NOW - timedelta(days=age))
            for seq, age in enumerate(ages)
        )
        ConversationVariable.objects.create(
            conversation=made, key="k", value=1, written_at=NOW - timedelta(days=ages[-1])
        )
        if number % 4 == 0:
            key = default_storage.save(f"{of.pk}/{number}", ContentFile(b"bytes"))
            blob = Blob.objects.create(environment=of, sha256=f"{number}", key=key, size=5)
        if number % 4 in (0, 1):
            Attachment.objects.create(
                conversation=made, blob=blob, name="x", mime="a/b", size=5, sent_at=NOW - timedelta(days=ages[0])
            )


def start_worker():
    """Fork a process that purges and empties the outbox until it is killed; returns its id."""
    connection.close()
    pid = os.fork()
    if pid:
        return pid
    try:
        while True:
            purge(now=NOW, limits=SMALL, sleep_ratio=0)
            delete_blobs(now=NOW)
    finally:
        os._exit(1)


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_killed_at_fifty_random_points_two_workers_converge_on_what_the_oracle_says():
    environments = [archive_after(environment(), days) for days in (30, 30, 60)]
    forever = environment()
    for seed, each in enumerate([*environments, forever]):
        fill(each, conversations=70 if each != forever else 10, seed=seed)
    wanted = oracle.expected(NOW)
    chance = random.Random(7)
    workers = [start_worker(), start_worker()]
    try:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.005, 0.12))
            kill(workers.pop(chance.randrange(2)))
            workers.append(start_worker())
    finally:
        for pid in workers:
            kill(pid)
    finish()

    left = oracle.present()
    referenced = set(Attachment.objects.values_list("blob", flat=True))
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
    assert stored == set(Blob.objects.values_list("key", flat=True)), "no file without a row, and none missing"


def finish():
    """Purge until nothing is left to do: a killed worker's backend may hold its locks a moment longer."""
    for _ in range(20):
        run = purge(now=NOW, limits=SMALL, sleep_ratio=0)
        delete_blobs(now=NOW)
        if not run.batch_count and not BlobToDelete.objects.exists():
            return
        time.sleep(0.2)
