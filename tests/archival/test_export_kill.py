"""Workers killed while they write an export: what is ready has every conversation once, and no file is left over."""

import json
import random
import time
import zipfile
from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from archival.exports import services
from archival.files.outbox import delete_blobs
from archival.files.sweep import sweep_storage
from archival.models import BlobToDelete, EnvironmentExport
from conversations.export import environments as writing
from conversations.models import Conversation, Message
from environments.caller import Caller
from tests.archival.test_kill import fill, kill, start_worker
from tests.factories import environment, member

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("beat"), pytest.mark.faults]
KILLS = 20


def test_killed_at_twenty_random_points_two_workers_export_everything_once(monkeypatch, own_storage):
    monkeypatch.setattr(writing, "AT_ONCE", 2)
    monkeypatch.setattr(services, "PART_BYTES", 1)
    acme = environment(slug="acme")
    fill(acme, conversations=200, seed=1)
    by = Caller.of(member(acme))
    (export,) = services.request_exports([acme], by=by, now=timezone.now())

    def write_for_ever():
        while True:
            services.continue_exports()
            time.sleep(0.01)

    chance = random.Random(7)
    left_at = []
    workers = [start_worker(write_for_ever) for _ in range(2)]
    try:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.05, 0.3))
            kill(workers.pop(chance.randrange(2))[0])
            left_at.append(EnvironmentExport.objects.get().counts["conversations"])
            workers.append(start_worker(write_for_ever))
    finally:
        for pid, _ in workers:
            kill(pid)
    assert len(set(left_at)) > KILLS / 4, "all along, not after the end"
    while services.continue_exports():
        pass

    export.refresh_from_db()
    lines = []
    for part in export.parts.order_by("number"):
        with default_storage.open(part.key) as opened, zipfile.ZipFile(opened) as packed:
            assert packed.testzip() is None
            lines += [json.loads(each) for each in packed.read("conversations.jsonl").splitlines()]
    assert sorted(each["id"] for each in lines) == sorted(Conversation.objects.values_list("external_id", flat=True))
    assert sum(len(each["messages"]) for each in lines) == Message.objects.count() == export.counts["messages"]
    assert export.is_ready
    later = timezone.now() + timedelta(days=2)
    swept = sweep_storage(now=later, delete=True)  # files whose worker died before it stored their row
    assert swept.deleted == len(swept.orphans) < KILLS
    services.expire_exports(now=later + timedelta(days=9))
    delete_blobs(now=later + timedelta(days=9))
    assert (BlobToDelete.objects.count(), sweep_storage(now=later).orphans) == (0, [])
