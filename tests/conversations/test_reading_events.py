"""Who reads a conversation or downloads something is in the audit log: once for each person, thing and hour."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from audit.models import Event
from audit.services import record, record_read
from conversations.models import Blob
from environments.caller import Caller
from environments.choices import Role
from tests import factories
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db

HOUR = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def ada(client, acme):
    user = factories.member(acme, email="ada@acme.example")
    log_in(client, user)
    return user


@pytest.fixture
def read(acme):
    return factories.conversation(of=acme, now=HOUR)


def read_events():
    rows = Event.objects.filter(action__regex=r"\.(read|downloaded)$").order_by("pk")
    return list(rows.values_list("action", "actor_label", "subject_label"))


def pages_of(conversation):
    uuid, seq = conversation.uuid, conversation.messages.first().seq
    rest = f"/api/v1/environments/acme/conversations/{uuid}/"
    return [f"/acme/conversations/{uuid}/", f"/acme/conversations/{uuid}/messages/{seq}/", rest, f"{rest}messages/"]


@pytest.mark.parametrize("page", range(4))
def test_each_way_to_read_a_conversation_is_an_event_without_a_name(client, ada, acme, read, page):
    with time_machine.travel(HOUR, tick=False):
        assert client.get(pages_of(read)[page]).status_code == 200
    assert read_events() == [("conversation.read", ada.email, str(read.uuid))]
    event = Event.objects.get(action="conversation.read")
    assert (event.subject_kind, event.subject_id, event.organisation_id) == ("conversation", read.pk, acme.pk)


def test_it_is_one_event_for_each_person_conversation_and_hour(client, ada, acme, read):
    other = factories.conversation(of=acme, now=HOUR)
    vic = factories.member(acme, Role.ENVIRONMENT_MANAGER, email="vic@acme.example")
    last = HOUR + timedelta(minutes=59, seconds=59)
    for at in (HOUR, HOUR, last, HOUR + timedelta(hours=1)):
        with time_machine.travel(at, tick=False):
            for conversation in (read, other):
                for page in pages_of(conversation):
                    client.get(page)
    with time_machine.travel(last, tick=False):
        log_in(client, vic)
        client.get(pages_of(read)[0])
    twice = [("conversation.read", ada.email, str(each.uuid)) for each in (read, other)] * 2
    assert read_events() == [*twice, ("conversation.read", vic.email, str(read.uuid))]


def test_a_second_look_within_the_hour_costs_the_same_and_writes_nothing(client, ada, read):
    found = []
    with time_machine.travel(HOUR, tick=False):
        client.get("/acme/conversations/")
        for _turn in range(2):
            with CaptureQueriesContext(connection) as captured:
                client.get(pages_of(read)[0])
            found.append([each["sql"] for each in captured if "audit_event" in each["sql"]])
    assert [len(each) for each in found] == [1, 1]
    assert len(read_events()) == 1


def test_what_is_not_shown_is_not_read(client, acme, read):
    log_in(client, factories.member(factories.environment(slug="other")))
    with time_machine.travel(HOUR, tick=False):
        assert {client.get(page).status_code for page in pages_of(read)} == {404}
    assert read_events() == []


def test_a_download_is_an_event(client, ada, acme, read):
    key = default_storage.save("file", ContentFile(b"bytes"))
    blob = Blob.objects.create(environment=acme, sha256="0" * 64, key=key, size=5)
    file = factories.attachment(of=read, blob=blob, at=HOUR, name="passport-of-kim.png")
    with time_machine.travel(HOUR, tick=False):
        for _turn in range(2):
            assert client.get(f"/acme/attachments/{file.uuid}/").status_code == 200
            assert client.get("/acme/audit/export/").status_code == 200
            assert client.get("/acme/audit/export/?kind=keys").status_code == 200
    assert read_events() == [
        ("attachment.downloaded", ada.email, str(file.uuid)),
        ("audit_log.downloaded", ada.email, ""),
    ]


def test_receipts_are_an_event(client, ada):
    with time_machine.travel(HOUR, tick=False):
        for file_type in ("csv", "json", "signed.json"):
            assert client.get(f"/acme/retention/receipts.{file_type}").status_code == 200
    assert read_events() == [("receipts.downloaded", ada.email, "")]


def test_the_page_says_it_in_words_and_finds_it(client, ada, read):
    with time_machine.travel(HOUR, tick=False):
        client.get(pages_of(read)[0])
        page = client.get("/acme/audit/?kind=reading")
    assert [str(line.text) for line in page.context["lines"]] == [f"read the conversation {read.uuid}"]


def test_an_event_that_says_so_twice_in_an_hour_is_refused_by_the_database(acme, ada, read):
    with time_machine.travel(HOUR, tick=False):
        record_read("conversation.read", acme, by=Caller.of(ada), subject=read)
        with pytest.raises(IntegrityError, match="one_read_an_hour"), transaction.atomic():
            record("conversation.read", acme, by=ada, subject=read)
        record("conversation.closed", acme, by=ada, subject=read)
        record("conversation.closed", acme, by=ada, subject=read)
