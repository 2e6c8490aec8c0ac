"""Variables that come a few at a time and stay: how many a contact or a conversation can have, and what shows them."""

import json
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from conversations.ingest.lines import check_conversation
from conversations.ingest.services import store
from conversations.models import Contact, Conversation, ConversationVariable
from tests import factories
from tests.archival.connections import run_aside
from tests.conversations.lines import line, raw
from tests.conversations.test_import_conversations import run
from tests.factories import NOW
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/environments/acme/conversations/"
MANY = 1_000
MIB = 1024 * 1024


@pytest.fixture
def dev(client, acme):
    return log_in(client, factories.member(acme))


@pytest.fixture
def post(client, dev):
    def send(body, address=ADDRESS):
        return client.post(address, json.dumps(body).encode(), content_type="application/json")

    return send


def numbered(start: int, count: int = MANY) -> dict[str, int]:
    return {f"key {number}": number for number in range(start, start + count)}


def of_zoe(name: str, variables: dict) -> dict:
    return line(name, contact={"id": "zoe", "variables": variables})


def outcomes(response):
    return [each["outcome"] for each in response.json()]


def test_a_contact_gets_no_more_variables_by_many_requests_than_by_one(post):
    assert post([of_zoe("a", numbered(0))]).status_code == 201
    refused = post([of_zoe("b", {"one more": 1}), of_zoe("c", {"key 7": "replaced"}), line("d")])
    assert refused.status_code == 207
    assert outcomes(refused) == ["refused", "stored", "stored"]
    assert "more than 1000 variables" in refused.json()[0]["reason"]
    assert Contact.objects.get(external_id="zoe").variables == numbered(0) | {"key 7": "replaced"}


def test_one_request_gives_a_contact_no_more_variables_than_many(post):
    response = post([of_zoe("a", numbered(0, 600)), of_zoe("b", numbered(600, 600)), of_zoe("c", numbered(600, 400))])
    assert outcomes(response) == ["stored", "refused", "stored"]
    assert Contact.objects.get().variables == numbered(0)


def test_a_refused_conversation_is_refused_wherever_it_stands_in_the_request(post):
    too_many = of_zoe("a", numbered(0, 600))
    response = post([of_zoe("first", numbered(600, 600)), too_many, too_many])
    assert outcomes(response) == ["stored", "refused", "refused"]
    assert post([of_zoe("first", numbered(600, 600)), line("a")]).status_code == 201


@pytest.mark.parametrize("start", [600 * "a", 300 * "ü"])
def test_the_variables_of_a_contact_take_a_mebibyte_in_all(post, start):
    value = start * 1_000
    assert post([of_zoe("a", {"x": value})]).status_code == 201
    assert outcomes(post([of_zoe("b", {"y": value}), of_zoe("c", {"x": value + "!"})])) == ["refused", "stored"]


def test_a_conversation_gets_no_more_variables_by_appends_than_at_once(post):
    uuid = post(line("a", variables=numbered(0, 999))).json()["uuid"]
    address = f"{ADDRESS}{uuid}/messages/"
    assert post({"variables": {"last": 1}}, address).status_code == 201
    said = {"messages": [{"role": "bot", "text": "lost?"}]}
    refused = post(said | {"variables": {"one more": 1}}, address)
    assert (refused.status_code, "more than 1000 variables" in refused.content.decode()) == (400, True)
    assert post(said | {"variables": {"last": 2}}, address).status_code == 201
    found = Conversation.objects.get()
    assert (found.variables.count(), found.messages.count()) == (1_000, 2)


def test_the_variables_of_a_conversation_take_a_mebibyte_in_all(post):
    uuid = post(line("a", variables={"x": 600_000 * "a"})).json()["uuid"]
    address = f"{ADDRESS}{uuid}/messages/"
    assert post({"variables": {"y": 600_000 * "a"}}, address).status_code == 400
    assert post({"variables": {"x": 1_000_000 * "a"}}, address).status_code == 201
    assert post(line("b", variables={"x": 600_000 * "a", "y": 600_000 * "a"})).status_code == 400


@pytest.fixture
def zoe(acme):
    """A contact with a conversation, both with variables from before there were limits: many, or large ones."""
    made = factories.conversation(of=acme, now=NOW)
    return made.contact


def give(contact, variables):
    Contact.objects.filter(pk=contact.pk).update(variables=variables)
    conversation = contact.conversations.get()
    ConversationVariable.objects.bulk_create(
        ConversationVariable(
            environment_id=conversation.environment_id, conversation=conversation, key=key, value=value, written_at=NOW
        )
        for key, value in variables.items()
    )


def test_more_variables_than_are_allowed_today_stay_readable_and_can_be_replaced(post, zoe, client):
    give(zoe, numbered(0, 1_500))
    conversation = zoe.conversations.get()
    assert post(line("a", contact={"id": zoe.external_id, "variables": {"key 3": 4}})).status_code == 201
    assert post({"variables": {"key 3": 4}}, f"{ADDRESS}{conversation.uuid}/messages/").status_code == 201
    assert post({"variables": {"new": 4}}, f"{ADDRESS}{conversation.uuid}/messages/").status_code == 400
    read = client.get(f"{ADDRESS}{conversation.uuid}/").json()
    assert (len(read["contact"]["variables"]), read["contact"]["variables"]["key 3"]) == (1_500, 4)


def test_a_page_shows_the_first_of_many_variables_and_says_how_many_there_are(client, dev, zoe):
    give(zoe, numbered(0, 1_500))
    for address in (f"/acme/contacts/{zoe.uuid}/", f"/acme/conversations/{zoe.conversations.get().uuid}/"):
        page = client.get(address).content.decode()
        assert page.count("<dt><code") == 200
        assert "The first 200 of 1,50" in page


@pytest.mark.parametrize("address", ["/acme/conversations/", "/acme/contacts/", ADDRESS, "/acme/contacts/{}/"])
def test_a_list_reads_no_variables(client, dev, zoe, address):
    give(zoe, {"large": 10 * MIB * "a"})
    address = address.format(zoe.uuid)
    client.get(address)
    tracemalloc.start()
    try:
        assert client.get(address).status_code == 200
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * MIB


def test_an_import_refuses_the_line_that_gives_a_contact_too_many_variables(acme, tmp_path):
    path = tmp_path / "many.jsonl"
    path.write_bytes(raw(of_zoe("a", numbered(0)), of_zoe("b", {"one more": 1}), line("c")))
    code, out, err = run(path)
    assert (code, "2 conversations with 2 messages stored" in out) == (1, True)
    assert f"{path}:2: contact.variables: the contact would have more than 1000 variables" in err


def test_two_imports_at_once_give_a_contact_no_more_than_one_of_them_could(transactional_db):
    acme = factories.environment(slug="acme")
    with ThreadPoolExecutor(2) as pool:
        both = [
            run_aside(
                pool, lambda n=n: store(acme, [check_conversation(of_zoe(f"c{n}", numbered(n * 600, 600)))], now=NOW)
            )
            for n in range(2)
        ]
        results = [each.result(30)[0].outcome for each in both]
    assert sorted(results) == ["refused", "stored"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM conversations_contact c, json_object_keys(c.variables)")
        assert cursor.fetchone() == (600,)
