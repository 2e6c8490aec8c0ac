"""How a run shares itself out: fairly over environments, with rests in between, and beside other runs."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from archival.engine.run import Limits, delete_due, find_due, purge
from archival.models import PurgeRun
from conversations.models import Contact, Conversation, Message
from tests.archival.connections import run_aside
from tests.archival.limits import archive_after
from tests.factories import NOW, bulk_conversations, environment, organisation

pytestmark = pytest.mark.django_db
OLD = NOW - timedelta(days=31)


@pytest.fixture
def above():
    return archive_after(organisation(), 30)


def fill(of, count):
    """Store ``count`` old conversations of one message each."""
    whose = Contact.objects.create(environment=of, external_id="c", last_activity_at=OLD)
    made = bulk_conversations([(OLD, OLD)] * count, of=of, whose=whose)
    Message.objects.bulk_create(
        Message(conversation=each, environment_id=each.environment_id, seq=0, role="user", text="x", sent_at=OLD)
        for each in made
    )


def test_299_small_environments_are_done_long_before_the_giant_beside_them(above):
    giant, *small = (environment(parent=above) for _ in range(300))
    fill(giant, 3000)
    for each in small:
        fill(each, 1)
    run = PurgeRun.objects.create(as_of=NOW)

    taken = Counter()
    for batch in delete_due(run, find_due(now=NOW).environments, limits=Limits()):
        taken.update({pk: tally.counts["conversations"] for pk, tally in batch.tallies.items()})
        if all(taken[each.pk] for each in small):
            break

    run.refresh_from_db()
    assert run.batch_count <= 5, "300 environments, 100 conversations a batch"
    assert taken[giant.pk] <= 2 * 100


def test_an_environment_without_neighbours_gets_the_whole_batch(above):
    fill(alone := environment(parent=above), 250)
    run = PurgeRun.objects.create(as_of=NOW)

    batches = delete_due(run, find_due(now=NOW).environments, limits=Limits())

    assert [batch.tallies[alone.pk].counts["conversations"] for batch in batches] == [100, 100, 50, 0]


def test_after_a_batch_the_purge_pauses_for_a_multiple_of_the_time_it_took(above, settings):
    settings.PURGE_SLEEP_RATIO = 2.0
    fill(environment(parent=above), 4)
    with connection.cursor() as cursor:  # a batch takes a twentieth of a second, and the one with contacts too
        cursor.execute(
            "CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END'"
        )
        cursor.execute(
            "CREATE TRIGGER take_time BEFORE UPDATE OF batch_count ON archival_purgerun"
            " FOR EACH ROW EXECUTE FUNCTION take_time()"
        )

    began = time.monotonic()
    run = purge(now=NOW, limits=Limits(conversations=1))

    assert run.batch_count == 5
    assert time.monotonic() - began >= 5 * 0.05 * (1 + 2)


@pytest.mark.django_db(transaction=True)
def test_four_workers_at_once_delete_everything_once(above):
    for number in (400, 50, 50, 1):
        fill(environment(parent=above), number)

    with ThreadPoolExecutor(4) as pool:
        work = [
            run_aside(pool, lambda: purge(now=NOW, limits=Limits(conversations=7), sleep_ratio=0)) for _ in range(4)
        ]
        runs = [each.result(60) for each in work]
    runs.append(purge(now=NOW, sleep_ratio=0))  # what one had locked while another looked

    assert (Conversation.objects.count(), Contact.objects.count()) == (0, 0)
    assert [sum(getattr(run, kind) for run in runs) for kind in ("conversations", "messages", "contacts")] == [
        501,
        501,
        4,
    ]
    assert sum(run.conversations > 0 for run in runs) > 1, "they really worked beside each other"
