"""REST in slices: every row comes once, and an address that makes no sense is answered as such."""

import base64

import pytest

from conversations.models import Message
from tests.factories import NOW, bulk_conversations, contact, conversation, environment, member
from tests.logging_in import log_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
ADDRESS = "/api/v1/environments/acme/conversations/"


@pytest.fixture
def acme(client):
    found = environment(slug="acme")
    log_in(client, member(found))
    return found


def fill(acme, count):
    """Store conversations that all were active in the same hour, as after an import."""
    bulk_conversations([(NOW, NOW)] * count, of=acme, whose=contact(of=acme), created_at=NOW)


def test_any_number_of_conversations_of_the_same_hour_comes_once_each(client, acme):
    fill(acme, 1_300)
    found, address = [], f"{ADDRESS}?page_size=200"
    while address:
        answer = client.get(address).json()
        found += [each["id"] for each in answer["results"]]
        address = answer["next"]
        assert len(found) <= 1_300
    assert len(set(found)) == len(found) == 1_300


def test_slices_lead_there_and_back(client, acme):
    fill(acme, 5)
    first = client.get(f"{ADDRESS}?page_size=2&channel=web").json()
    second = client.get(first["next"]).json()
    last = client.get(second["next"]).json()
    assert [len(each["results"]) for each in (first, second, last)] == [2, 2, 1]
    assert (first["previous"], last["next"]) == (None, None)
    assert client.get(last["previous"]).json()["results"] == second["results"]


@pytest.mark.parametrize("cursor", ["x", "older~x", "newer~~~1", "\0", "older~2026-01-01~2026-01-01~1", "cD1hYmM="])
def test_a_cursor_that_no_answer_gave_is_not_found(client, acme, cursor):
    conversation(of=acme)
    assert client.get(ADDRESS, {"cursor": cursor}).status_code == 404


@pytest.mark.parametrize("position", ["abc", "", "\0", "1e400", "nan", "2026-01-01", "-1", "9" * 30])
def test_messages_from_no_number_are_not_found(client, acme, position):
    found = conversation(of=acme)
    cursor = base64.b64encode(f"p={position}".encode()).decode()
    answer = client.get(f"{ADDRESS}{found.uuid}/messages/", {"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_messages_come_in_slices_by_their_number(client, acme):
    found = conversation(of=acme, days_ago=[3, 2, 1])
    first = client.get(f"{ADDRESS}{found.uuid}/messages/?page_size=2").json()
    rest = client.get(first["next"]).json()
    seqs = [each["seq"] for each in (*first["results"], *rest["results"])]
    assert seqs == list(Message.objects.order_by("seq").values_list("seq", flat=True))
