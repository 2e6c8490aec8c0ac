"""Every race of the purge, forced: two real connections meet at the instant that matters."""

from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction

from archival.engine.run import Limits, delete_contacts, delete_conversations, purge
from archival.files.outbox import Emptied, delete_blobs, delete_unused_blobs, due_rows
from archival.models import BlobToDelete, Hold, PurgeRun
from archival.policy.services import change_retention
from conversations.ingest.append import append
from conversations.ingest.lines import NewMessage
from conversations.models import Blob, Contact, Conversation, Message
from environments.caller import SYSTEM
from environments.choices import Archival
from environments.policies.retention import Retention
from tests.archival.connections import locked, make_pausable, paused, pausing, run_aside, wait_until_waiting
from tests.archival.limits import archive_after
from tests.factories import NOW, attachment, conversation, environment

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme"), 30)


def batch(run, acme, delete=delete_conversations):
    return lambda: delete(run, [acme.pk], limits=Limits())


def say(to, at, text="new"):
    return append(to, messages=[NewMessage(seq=None, role="user", text=text, ts=at)], now=NOW)


def counted(found):
    return {} if found is None else {k: v for each in found.tallies.values() for k, v in each.counts.items() if v}


def test_a_message_committed_between_snapshot_and_lock_stays_with_its_conversation(acme, pool, run):
    old = conversation(of=acme, days_ago=[60, 31])
    make_pausable()
    with paused():
        purging = run_aside(pool, pausing(batch(run, acme)))
        wait_until_waiting()
        say(old, NOW)

    assert counted(purging.result())["messages"] == 2
    old.refresh_from_db()
    assert list(old.messages.values_list("text", "sent_at")) == [("new", NOW)]
    assert old.oldest_item_at == NOW


def test_a_message_for_a_conversation_that_is_being_deleted_begins_a_new_one(acme, pool, run):
    old = conversation(of=acme, days_ago=31)
    with locked(run):
        purging = run_aside(pool, batch(run, acme))
        wait_until_waiting()
        saying = run_aside(pool, lambda: say(old, NOW))
        wait_until_waiting(2)

    assert counted(purging.result())["conversations"] == 1
    assert saying.result().pk != old.pk
    assert list(Message.objects.values_list("text", flat=True)) == ["new"]
    assert Conversation.objects.get().contact_id == old.contact_id


def test_a_conversation_that_somebody_writes_to_is_skipped_and_waits_for_the_next_run(acme, pool, run):
    endless = conversation(of=acme, days_ago=[60, 31, 1])
    with transaction.atomic():
        say(endless, NOW - 20 * DAY)
        assert run_aside(pool, batch(run, acme)).result(5) is None

    assert purge(now=NOW).messages == 2
    endless.refresh_from_db()
    assert endless.oldest_item_at == NOW - 20 * DAY


def test_a_backdated_message_older_than_all_is_found_by_the_next_run(acme):
    endless = conversation(of=acme, days_ago=1)
    say(endless, NOW - 50 * DAY)

    assert purge(now=NOW).messages == 1
    endless.refresh_from_db()
    assert endless.oldest_item_at == NOW - DAY


def test_two_purgers_delete_and_count_each_row_once(acme, pool, run):
    conversation(of=acme, days_ago=[60, 50, 40])
    other = PurgeRun.objects.create(as_of=NOW)
    make_pausable()
    with paused():
        late = run_aside(pool, pausing(batch(other, acme)))
        wait_until_waiting()
        first = run_aside(pool, batch(run, acme)).result()

    assert counted(first)["messages"] == 3
    assert counted(late.result()) == {}
    run.refresh_from_db()
    other.refresh_from_db()
    assert (run.messages, other.messages) == (3, 0)


def test_a_second_purger_skips_what_the_first_has_locked(acme, pool, run):
    conversation(of=acme, days_ago=[60, 50, 40])
    other = PurgeRun.objects.create(as_of=NOW)
    with locked(run):
        first = run_aside(pool, batch(run, acme))
        wait_until_waiting()
        assert run_aside(pool, batch(other, acme)).result(5) is None
    assert counted(first.result())["messages"] == 3


def test_a_new_conversation_for_a_contact_that_is_being_purged_gets_a_new_contact(acme, pool, run):
    gone = conversation(of=acme, days_ago=31)
    gone = Conversation.objects.select_related("contact", "environment").get(pk=gone.pk)
    batch(run, acme)()
    with locked(run):
        purging = run_aside(pool, batch(run, acme, delete_contacts))
        wait_until_waiting()
        saying = run_aside(pool, lambda: say(gone, NOW))
        wait_until_waiting(2)

    assert counted(purging.result()) == {"contacts": 1}
    assert saying.result() == Conversation.objects.get()
    assert Contact.objects.get().external_id == gone.contact.external_id


def test_a_contact_that_just_got_a_new_conversation_is_skipped(acme, pool, run):
    gone = conversation(of=acme, days_ago=31)
    gone = Conversation.objects.select_related("contact", "environment").get(pk=gone.pk)
    batch(run, acme)()
    with transaction.atomic():
        say(gone, NOW)
        assert run_aside(pool, batch(run, acme, delete_contacts)).result(5) is None
    assert Contact.objects.filter(pk=gone.contact_id).exists()


@pytest.mark.parametrize("covers", ["conversation", "contact", "environment"])
def test_a_hold_committed_between_snapshot_and_lock_is_respected(acme, pool, run, covers):
    held = conversation(of=acme, days_ago=31)
    target = {"conversation": {"conversation": held}, "contact": {"contact": held.contact}, "environment": {}}[covers]
    make_pausable()
    with paused():
        purging = run_aside(pool, pausing(batch(run, acme)))
        wait_until_waiting()
        Hold.objects.create(environment=acme, reason="dispute", placed_at=NOW, **target)

    assert counted(purging.result()) == {}
    assert Message.objects.count() == 1


@pytest.mark.parametrize("archival", [Archival.LIMIT, Archival.KEEP])
def test_a_longer_limit_waits_for_the_current_batch_and_applies_to_the_next(acme, pool, run, archival):
    for _ in range(3):
        conversation(of=acme, days_ago=31)
    days = 365 if archival == Archival.LIMIT else None
    with locked(run):
        purging = run_aside(pool, lambda: delete_conversations(run, [acme.pk], limits=Limits(conversations=1)))
        wait_until_waiting()
        changing = run_aside(pool, lambda: change_retention(acme, to=Retention(archival, days), by=SYSTEM, now=NOW))
        wait_until_waiting(2)

    purging.result()
    assert not changing.result().is_pending
    assert delete_conversations(run, [acme.pk], limits=Limits()) is None
    assert Conversation.objects.count() == 2


def test_a_last_reference_taken_away_while_the_outbox_is_emptied_leaves_no_orphan(acme, pool, run):
    key = default_storage.save(f"{acme.pk}/shared", ContentFile(b"bytes"))
    blob = Blob.objects.create(environment=acme, sha256="x", key=key, size=5)
    for age in (40, 35):
        attachment(of=conversation(of=acme, days_ago=age), blob=blob, at=NOW - age * DAY)
    delete_conversations(run, [acme.pk], limits=Limits(conversations=1))
    seen = due_rows(now=NOW, after=0)
    with locked(run):
        purging = run_aside(pool, lambda: delete_conversations(run, [acme.pk], limits=Limits(conversations=1)))
        wait_until_waiting()
        emptied = Emptied()
        # The worker sees the reference that is just being taken away, and drops the row that it saw.
        assert run_aside(pool, lambda: delete_unused_blobs(seen, emptied)).result() == []
    purging.result()

    assert (emptied.kept, BlobToDelete.objects.count(), default_storage.exists(key)) == (1, 1, True)
    assert delete_blobs(now=NOW).deleted == 1
    assert (Blob.objects.count(), BlobToDelete.objects.count(), default_storage.exists(key)) == (0, 0, False)


def test_a_crash_between_row_and_bytes_leaves_the_bytes_for_the_next_try(acme):
    key = default_storage.save(f"{acme.pk}/crash", ContentFile(b"bytes"))
    blob = Blob.objects.create(environment=acme, sha256="x", key=key, size=5)
    BlobToDelete.objects.create(
        blob_id=blob.pk, key=key, environment_id=acme.pk, size=5, queued_at=NOW, next_try_at=NOW
    )
    delete_unused_blobs(due_rows(now=NOW, after=0), Emptied())  # and here the worker dies
    again = Blob.objects.create(
        environment=acme, sha256="x", key=default_storage.save(key, ContentFile(b"bytes")), size=5
    )

    assert delete_blobs(now=NOW).deleted == 1

    assert not default_storage.exists(key)
    assert default_storage.exists(again.key), "the same content that came again has a key of its own"


def test_a_database_that_restarts_fails_the_run_and_the_next_one_finishes(acme, pool, run):
    for _ in range(3):
        conversation(of=acme, days_ago=31)
    with locked(run):
        purging = run_aside(pool, batch(run, acme))
        wait_until_waiting()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        with pytest.raises(Exception, match=r"terminat|closed"):
            purging.result()
    assert Conversation.objects.count() == 3
    run.refresh_from_db()
    assert (run.rows, purge(now=NOW).conversations) == (0, 3)


@pytest.mark.parametrize("kind", ["message", "variable", "attachment"])
def test_an_item_that_became_young_while_its_deletion_waited_stays(acme, pool, run, kind):
    old = conversation(of=acme, days_ago=31)
    attachment(of=old, at=NOW - 31 * DAY)
    item, clock = {
        "message": (old.messages, "sent_at"),
        "variable": (old.variables, "written_at"),
        "attachment": (old.attachments, "sent_at"),
    }[kind]
    with transaction.atomic():
        item.update(**{clock: NOW})  # by somebody who does not lock the conversation
        purging = run_aside(pool, batch(run, acme))
        wait_until_waiting()

    assert "conversations" not in counted(purging.result())
    assert getattr(item.get(), clock) == NOW
    old.refresh_from_db()
    assert old.oldest_item_at == old.last_activity_at == NOW
