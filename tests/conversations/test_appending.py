"""What a message that is added does to its conversation and contact, and what one that was there already does not."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import transaction

from archival.engine.run import purge
from archival.requests.erasure import erase_contact
from conversations.ingest.append import append
from conversations.ingest.lines import NewMessage
from conversations.models import Contact, Conversation
from environments.caller import SYSTEM
from environments.choices import Role
from tests.archival.connections import run_aside
from tests.archival.limits import archive_after
from tests.factories import NOW, conversation, environment, member
from tests.logging_in import log_in

DAY = timedelta(days=1)


@pytest.fixture
def acme(db):
    return archive_after(environment(slug="acme"), 30)


def say(to, *, seq=None, at=None, now=NOW):
    made = Conversation.objects.select_related("contact", "environment").get(pk=to.pk)
    return append(made, messages=[NewMessage(seq=seq, role="user", text="hello", ts=at)], now=now)


def test_a_contact_was_active_when_their_last_message_came(acme):
    made = conversation(of=acme, days_ago=20)
    say(made)
    made.contact.refresh_from_db()
    assert made.contact.last_activity_at == NOW

    say(made, at=NOW - DAY)
    say(made, now=NOW + timedelta(minutes=4, seconds=59))
    made.contact.refresh_from_db()
    assert made.contact.last_activity_at == NOW, "written once in five minutes, and never back"


def test_a_message_waits_for_nobody_who_has_its_contact(transactional_db):
    made = conversation(of=environment(), days_ago=20)
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        Contact.objects.select_for_update().get(pk=made.contact_id)
        assert run_aside(pool, lambda: say(made)).result(5).pk == made.pk


def test_sending_again_what_is_there_keeps_neither_conversation_nor_contact_longer(acme):
    made = conversation(of=acme, days_ago=[29, 28], variables=0)
    say(made, seq=9, at=NOW - 28 * DAY)
    before = Conversation.objects.values().get()
    say(made, seq=9)
    append(Conversation.objects.select_related("contact", "environment").get(), now=NOW)
    assert Conversation.objects.values().get() == before

    assert purge(now=NOW + 3 * DAY).contacts == 1


def test_a_conversation_begun_again_knows_its_contact_by_the_id_alone(acme):
    made = conversation(of=acme, days_ago=1)
    Contact.objects.update(name="Ann")
    old = Conversation.objects.select_related("contact", "environment").get()
    erase_contact(old.contact, by=SYSTEM, now=NOW)

    append(old, messages=[NewMessage(role="user", text="still here")], now=NOW)

    assert Contact.objects.values_list("external_id", "name").get() == (made.contact.external_id, "")


@pytest.mark.parametrize(("ts", "is_past"), [("2026-01-01T00:00:00Z", True), ("2026-11-21T00:00:00Z", False)])
def test_the_answer_says_whether_what_was_added_is_invisible_already(client, acme, time_machine, ts, is_past):
    time_machine.move_to(NOW, tick=False)
    made = conversation(of=acme, days_ago=1)
    log_in(client, member(acme, Role.DEVELOPER))
    said = {"messages": [{"role": "user", "text": "hello", "ts": ts}]}
    address = f"/api/v1/environments/acme/conversations/{made.uuid}/messages/"
    assert client.post(address, said, content_type="application/json").json()["is_past_cutoff"] is is_past
