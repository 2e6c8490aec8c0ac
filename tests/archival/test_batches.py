"""How much one transaction of the purge takes, and that what it reads does not grow with what others keep."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from archival.engine.run import purge
from conversations.models import Contact, Conversation, ConversationVariable, Message
from tests.archival.limits import archive_after
from tests.factories import NOW, bulk_conversations, environment

pytestmark = pytest.mark.django_db
KINDS = (Contact, Conversation, Message, ConversationVariable)


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme"), 30)


def fill(of, *, conversations, days_ago, now=NOW):
    """Store conversations of three messages and two variables, each with a contact of its own."""
    at = now - timedelta(days=days_ago)
    made = bulk_conversations([(at, at)] * conversations, of=of)
    Message.objects.bulk_create(
        Message(conversation=each, environment_id=each.environment_id, seq=seq, role="user", text="x", sent_at=at)
        for each in made
        for seq in range(3)
    )
    ConversationVariable.objects.bulk_create(
        ConversationVariable(conversation=each, environment_id=each.environment_id, key=key, value=1, written_at=at)
        for each in made
        for key in ("a", "b")
    )


def rows_read():
    """Return how many rows this transaction has read of each table, by whatever way."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables")
        found = dict(cursor.fetchall())
    return {model: found[model._meta.db_table] for model in KINDS}


def test_what_a_purge_reads_does_not_grow_with_what_others_keep(acme):
    fill(archive_after(environment(), 30), conversations=5000, days_ago=1)
    fill(acme, conversations=20, days_ago=40)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    before = rows_read()

    run = purge(now=NOW)

    read = {model: count - before[model] for model, count in rows_read().items()}
    assert run.rows == 20 * 7
    assert {model: count for model, count in read.items() if count > 20 * 20} == {}


@pytest.mark.parametrize(("arguments", "batches"), [((), 4), (("--catch-up",), 2)])
def test_catching_up_takes_larger_batches(acme, settings, arguments, batches):
    settings.PURGE_SLEEP_RATIO = 0.01
    fill(acme, conversations=250, days_ago=5000, now=timezone.now())

    call_command("purge", *arguments)

    run = acme.receipts.get().run
    assert (run.batch_count, run.rows, Conversation.objects.count()) == (batches, 250 * 7, 0)


def test_catching_up_takes_no_rest(acme, settings):
    settings.PURGE_SLEEP_RATIO = 100
    fill(acme, conversations=10, days_ago=40)
    began = timezone.now()

    run = purge(now=NOW, sleep_ratio=0)

    worked = run.last_batch_at - began
    assert run.finished_at - began < 50 * worked
