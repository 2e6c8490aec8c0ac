"""Erasure, holds, ingest, the purge and the sweep meet over the same contact: nobody loses or counts anything twice."""

import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.db import transaction

from archival.engine.run import Limits, delete_conversations, purge
from archival.files.outbox import delete_blobs
from archival.files.sweep import sweep_storage
from archival.holds.services import place_hold
from archival.models import BlobToDelete, Erasure, Hold
from archival.requests.erasure import erase_contact
from conversations.ingest.append import append
from conversations.ingest.blobs import MediaFolder, hold_blob
from conversations.ingest.lines import NewMessage, check_conversation
from conversations.ingest.services import store
from conversations.models import Blob, Contact, Conversation, Message
from environments.caller import SYSTEM
from tests.archival.connections import locked, run_aside, wait_until_waiting
from tests.archival.limits import archive_after
from tests.conversations.lines import line
from tests.factories import NOW, conversation, environment

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme"), 30)


def fresh(made):
    return Conversation.objects.select_related("contact", "environment").get(pk=made.pk)


def erasing(contact):
    return lambda: erase_contact(contact, by=SYSTEM, now=NOW)


def saying(to):
    return lambda: append(to, messages=[NewMessage(seq=None, role="user", text="new", ts=NOW)], now=NOW)


def test_a_message_that_arrives_during_an_erasure_is_kept_with_a_new_contact(acme, pool):
    made = fresh(conversation(of=acme, days_ago=[31, 1]))
    with locked(made.contact):
        erasure = run_aside(pool, erasing(made.contact))
        wait_until_waiting()
        said = run_aside(pool, saying(made))
        wait_until_waiting(2)

    assert erasure.result(10).messages == 2
    begun = said.result(10)
    assert list(Message.objects.values_list("text", "conversation")) == [("new", begun.pk)]
    assert Contact.objects.get().pk != made.contact_id


def test_an_erasure_waits_for_a_message_that_is_being_written_and_takes_it_too(acme, pool):
    made = fresh(conversation(of=acme, days_ago=1))
    with transaction.atomic():
        saying(made)()
        erasure = run_aside(pool, erasing(made.contact))
        wait_until_waiting()

    assert (erasure.result(10).messages, Message.objects.count(), Contact.objects.count()) == (2, 0, 0)


def test_a_conversation_begun_during_an_erasure_makes_it_try_again_and_erases_nothing(acme, pool):
    made = fresh(conversation(of=acme, days_ago=1))
    another = line("another", contact={"id": made.contact.external_id, "variables": {}})
    with transaction.atomic():
        store(acme, [check_conversation(another)], now=NOW)
        erasure = run_aside(pool, erasing(made.contact))
        wait_until_waiting()

    with pytest.raises(ValidationError, match="just begun"):
        erasure.result(10)
    assert (Conversation.objects.count(), Erasure.objects.count()) == (2, 0)
    assert erase_contact(made.contact, by=SYSTEM, now=NOW).conversations == 2


def test_the_purge_skips_what_is_being_erased(acme, pool, run):
    made = conversation(of=acme, days_ago=[60, 31])
    with locked(made.contact):
        erasure = run_aside(pool, erasing(made.contact))
        wait_until_waiting()
        assert run_aside(pool, lambda: delete_conversations(run, [acme.pk], limits=Limits())).result(5) is None

    assert erasure.result(10).messages == 2
    assert purge(now=NOW).rows == 0


def test_an_erasure_waits_for_the_purge_and_each_row_is_counted_by_one_of_them(acme, pool, run):
    made = conversation(of=acme, days_ago=[60, 31, 1])
    with locked(run):
        purging = run_aside(pool, lambda: delete_conversations(run, [acme.pk], limits=Limits()))
        wait_until_waiting()
        erasure = run_aside(pool, erasing(made.contact))
        wait_until_waiting(2)

    purging.result(10)
    run.refresh_from_db()
    assert (run.messages, erasure.result(10).messages, Message.objects.count()) == (2, 1, 0)


def test_two_erasures_of_one_contact_leave_one_receipt(acme, pool):
    made = conversation(of=acme, days_ago=1)
    with locked(made.contact):
        both = [run_aside(pool, erasing(made.contact)) for _ in range(2)]
        wait_until_waiting(2)

    failed = [each.exception(10) for each in both]
    assert [type(error) for error in failed if error] == [ValidationError]
    assert Erasure.objects.get().messages == 1


@pytest.mark.parametrize("covers", ["contact", "conversation", "environment"])
def test_a_hold_that_is_being_placed_makes_an_erasure_wait_and_stops_it(acme, pool, covers):
    made = conversation(of=acme, days_ago=31)
    target = {"contact": {"contact": made.contact}, "conversation": {"conversation": made}, "environment": {}}[covers]
    with transaction.atomic():
        place_hold(acme, reason="dispute", by=SYSTEM, now=NOW, **target)
        erasure = run_aside(pool, erasing(made.contact))
        wait_until_waiting()

    with pytest.raises(ValidationError, match="hold"):
        erasure.result(10)
    assert (Message.objects.count(), Erasure.objects.count()) == (1, 0)


@pytest.mark.parametrize("covers", ["contact", "conversation"])
def test_a_hold_placed_during_an_erasure_waits_and_finds_nothing_to_hold(acme, pool, covers):
    made = conversation(of=acme, days_ago=1)
    target = {"contact": {"contact": made.contact}, "conversation": {"conversation": made}}[covers]
    with locked(made.contact):
        erasure = run_aside(pool, erasing(made.contact))
        wait_until_waiting()
        holding = run_aside(pool, lambda: place_hold(acme, reason="dispute", by=SYSTEM, now=NOW, **target))
        wait_until_waiting(2)

    assert erasure.result(10).messages == 1
    with pytest.raises(ValidationError, match="has been deleted"):
        holding.result(10)
    assert not Hold.objects.exists()


@pytest.mark.parametrize("covers", ["contact", "conversation", "environment"])
def test_a_hold_placed_during_a_batch_waits_for_it_and_covers_what_is_left(acme, pool, run, covers):
    made = conversation(of=acme, days_ago=[60, 31])
    target = {"contact": {"contact": made.contact}, "conversation": {"conversation": made}, "environment": {}}[covers]
    with locked(run):
        purging = run_aside(pool, lambda: delete_conversations(run, [acme.pk], limits=Limits(per_conversation=1)))
        wait_until_waiting()
        holding = run_aside(pool, lambda: place_hold(acme, reason="dispute", by=SYSTEM, now=NOW, **target))
        wait_until_waiting(2)

    purging.result(10)
    assert holding.result(10).is_active(NOW)
    assert purge(now=NOW).held == 1
    assert Message.objects.count() == 1


def test_an_upload_in_progress_counts_as_no_orphan_and_the_outbox_keeps_its_blob(acme, pool, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"a cat")
    folder = MediaFolder(tmp_path)
    value = check_conversation(line(attachments=[{"name": "n", "mime": "m", "size": 5, "media": "cat.png"}]))
    with transaction.atomic():
        pk, key = hold_blob(acme, folder.find(value.attachments[0], ""), folder, now=NOW)
        swept = run_aside(pool, lambda: sweep_storage(now=NOW, delete=True)).result(10)
        assert (key in swept.orphans, default_storage.exists(key)) == (False, True)
    # Somebody took the last reference away, while the same content comes again and waits for nobody.
    BlobToDelete.objects.create(blob_id=pk, key=key, environment_id=acme.pk, size=5, queued_at=NOW, next_try_at=NOW)
    with transaction.atomic():
        store(acme, [value], now=NOW, media=folder)
        emptying = run_aside(pool, lambda: delete_blobs(now=NOW))
        wait_until_waiting()

    emptied = emptying.result(10)
    assert (emptied.deleted, emptied.kept, default_storage.exists(key)) == (0, 1, True)
    assert Blob.objects.get(pk=pk).attachments.count() == 1
