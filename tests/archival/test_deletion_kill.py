"""Workers killed while they delete an environment: the next ones carry on, and every row is counted once."""

import random
import time

import pytest
from django.core.files.storage import default_storage

from archival.choices import DeletionState, RunState
from archival.files.outbox import delete_blobs
from archival.models import Receipt
from archival.requests import deletion
from conversations.models import Blob, Contact, Conversation, Message
from environments.caller import SYSTEM
from environments.models import Organisation
from tests.archival.test_kill import SMALL, fill, kill, slow_batches, start_worker
from tests.factories import NOW, environment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("beat"), pytest.mark.faults]
KILLS = 20


def test_killed_at_twenty_random_points_two_workers_delete_everything_and_count_it_once(monkeypatch):
    monkeypatch.setattr("archival.engine.delete_older.LIMITS", SMALL)
    doomed, other = environment(slug="doomed"), environment(slug="other")
    fill(doomed, conversations=300, seed=1)
    fill(other, conversations=4, seed=2)
    kept = (Conversation.objects.filter(environment=other).count(), Contact.objects.filter(environment=other).count())
    counted = deletion.count_organisation(doomed)
    found = deletion.begin_deletion(doomed, by=SYSTEM, now=NOW)

    def delete_for_ever():
        while True:
            deletion.continue_deletion(found, now=NOW)
            time.sleep(0.01)

    chance = random.Random(7)
    hits, left_at = 0, []
    with slow_batches():
        workers = [start_worker(delete_for_ever) for _ in range(2)]
        try:
            for _ in range(KILLS):
                time.sleep(chance.uniform(0.005, 0.12))
                hits += kill(workers.pop(chance.randrange(2))[0])
                left_at.append(Message.objects.filter(conversation__environment=doomed).count())
                workers.append(start_worker(delete_for_ever))
        finally:
            for pid, _ in workers:
                kill(pid)
    assert hits >= KILLS / 5, "enough of them died in the middle of a transaction"
    assert len(set(left_at)) > KILLS / 4, "and all along, not after the end"
    deletion.continue_deletion(found, now=NOW)

    found.refresh_from_db()
    receipt = Receipt.objects.get(run=found.run_id)
    assert {kind: getattr(receipt, kind) for kind in counted} == counted
    assert (found.state, found.run.state) == (DeletionState.DONE, RunState.DONE)
    assert not Organisation.objects.filter(slug="doomed").exists()
    assert (Conversation.objects.count(), Contact.objects.count()) == kept
    delete_blobs(now=NOW)
    assert not Blob.objects.exclude(environment=other).exists()
    assert default_storage.listdir(f"{doomed.pk}")[1] == []
