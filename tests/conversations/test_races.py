"""What happens when two write at once, or the purge comes in between. Real transactions on real connections."""

import threading

import pytest
from django.db import connection, transaction

from conversations.choices import Outcome
from conversations.ingest.append import append
from conversations.ingest.blobs import MediaFolder, hold_blob
from conversations.ingest.counts import fold_counts
from conversations.ingest.lines import NewMessage, check_conversation
from conversations.ingest.services import store
from conversations.models import Blob, Contact, Conversation, DailyCount, Message
from tests.at_once import at_once
from tests.conversations.lines import line
from tests.factories import NOW

pytestmark = pytest.mark.django_db(transaction=True)


def offer(count, name="shared"):
    return [check_conversation(line(f"{name}-{n}", contact={"id": f"k{n % 7}", "variables": {}})) for n in range(count)]


def test_two_imports_of_the_same_lines_store_each_once(acme):
    batches = [offer(300), offer(300)[::-1], offer(300)]
    results = at_once(*(lambda batch=batch: store(acme, batch, now=NOW) for batch in batches))
    found = [each.outcome for result in results for each in result]
    assert found.count(Outcome.STORED) == 300
    assert found.count(Outcome.UNCHANGED) == 600
    assert (Conversation.objects.count(), Message.objects.count(), Contact.objects.count()) == (300, 300, 7)
    fold_counts()
    assert DailyCount.objects.get().conversations == 300


def test_imports_that_share_contacts_do_not_stop_each_other(acme):
    works = [lambda name=name: store(acme, offer(200, name), now=NOW) for name in "abcd"]
    assert {each.outcome for result in at_once(*works) for each in result} == {Outcome.STORED}
    assert Contact.objects.count() == 7


def test_folding_at_once_counts_everything_once(acme):
    for name in "abcdef":
        store(acme, offer(3, name), now=NOW)
    assert sum(at_once(fold_counts, fold_counts, fold_counts)) == 6
    assert DailyCount.objects.get().messages == 18


def test_appending_to_a_conversation_that_is_being_deleted_begins_a_new_one(acme):
    store(acme, offer(1), now=NOW)
    old = Conversation.objects.select_related("contact", "environment").get()
    deleted, go = threading.Event(), threading.Event()

    def purge():
        with transaction.atomic():
            Message.objects.filter(conversation=old).delete()
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM conversations_conversation WHERE id = %s", [old.pk])
            deleted.set()
            go.wait(10)

    def go_on():
        deleted.wait(10)
        threading.Timer(0.3, go.set).start()
        return append(old, messages=[NewMessage("user", "still here")], now=NOW)

    _, new = at_once(purge, go_on)
    assert new.pk != old.pk
    assert new.external_id == old.external_id
    assert list(Message.objects.values_list("conversation", "text")) == [(new.pk, "still here")]


def test_appending_where_the_contact_went_too_creates_both(acme):
    store(acme, offer(1), now=NOW)
    old = Conversation.objects.select_related("contact", "environment").get()
    old_contact = old.contact
    Conversation.objects.all().delete()
    Contact.objects.all().delete()
    new = append(old, messages=[NewMessage("user", "back")], now=NOW)
    assert new.contact.external_id == old_contact.external_id
    assert new.messages.get().text == "back"


def test_appending_at_once_numbers_every_message(acme):
    store(acme, offer(1), now=NOW)
    made = Conversation.objects.select_related("contact", "environment").get()
    at_once(*(lambda n=n: append(made, messages=[NewMessage("bot", str(n))], now=NOW) for n in range(8)))
    assert list(made.messages.order_by("seq").values_list("seq", flat=True)) == list(range(9))


def test_a_blob_that_is_being_deleted_is_stored_again(acme, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"a cat")
    folder = MediaFolder(tmp_path)
    attachment = line(attachments=[{"name": "n", "mime": "m", "size": 5, "media": "cat.png"}])
    content = folder.find(check_conversation(attachment).attachments[0], "")
    with transaction.atomic():
        old, old_key = hold_blob(acme, content, folder, now=NOW)
    deleted, go = threading.Event(), threading.Event()

    def empty_outbox():
        with transaction.atomic():
            Blob.objects.select_for_update().get(pk=old).delete()
            deleted.set()
            go.wait(10)

    def bring_back():
        deleted.wait(10)
        threading.Timer(0.3, go.set).start()
        return store(acme, [check_conversation(attachment)], now=NOW, media=folder)

    at_once(empty_outbox, bring_back)
    new = Blob.objects.get()
    assert new.pk != old
    assert new.key != old_key
    assert new.attachments.count() == 1
