"""REST: storing one or many, reading what is readable, adding to a conversation."""

import gzip
import json
from datetime import timedelta

import pytest

from conversations.models import Conversation, ConversationVariable, Message
from environments.caller import Caller
from environments.choices import Role
from environments.keys.services import create_organisation_key, create_personal_key
from environments.models import Organisation
from tests import factories
from tests.conversations.lines import line
from tests.factories import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
ADDRESS = "/api/v1/environments/acme/conversations/"


@pytest.fixture
def dev(client, acme):
    user = factories.member(acme, Role.DEVELOPER)
    client.force_login(user)
    return user


def post(client, body, address=ADDRESS):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(address, content, content_type="application/json")


def outcomes(response):
    return [(each["id"], each["outcome"], each["reason"]) for each in response.json()]


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.DEVELOPER, Role.MEMBER])
def test_only_an_environment_has_conversations_whatever_the_role(client, customer, role):
    client.force_login(factories.member(customer, role))
    address = ADDRESS.replace("acme", customer.slug)
    assert {client.get(address).status_code, post(client, line(), address=address).status_code} == {404}


def test_one_conversation_goes_in_once(client, dev):
    first = post(client, line())
    assert (first.status_code, first.json()["outcome"]) == (201, "stored")
    again = post(client, line())
    assert (again.status_code, again.json()["outcome"]) == (200, "unchanged")
    assert again.json()["uuid"] == first.json()["uuid"] == str(Conversation.objects.get().uuid)
    other = post(client, line(texts=("else",)))
    assert (other.status_code, other.json()["reason"]) == (400, "this id is known with other content; the first stays")


def test_each_of_many_is_answered_at_its_place(client, dev):
    response = post(client, [line("a"), {"id": "b"}, 7, line("c", texts=("x\0",)), line("a")])
    assert response.status_code == 207
    assert outcomes(response) == [
        ("a", "stored", ""), ("b", "refused", "missing channel"), (None, "refused", "a line must be an object"),
        ("c", "stored", ""), ("a", "unchanged", ""),
    ]  # fmt: skip
    assert response.json()[3]["nul_count"] == 1
    assert Conversation.objects.count() == 2


def test_every_edge_line_can_be_posted(client, dev, data):
    with gzip.open(data / "edge_cases.jsonl.gz") as lines:
        found = [outcome for each in lines for outcome in [post(client, each).json()["outcome"]]]
    assert [found.count(each) for each in ("stored", "unchanged", "refused")] == [58, 1, 1]


def test_every_bad_line_is_answered_400_with_its_reason(client, dev, data):
    reasons = [json.loads(each)["reference_error"] for each in (data / "bad_input.why.jsonl").open()]
    for each, reason in zip((data / "bad_input.jsonl").read_bytes().split(b"\n"), reasons, strict=False):
        response = post(client, each)
        assert response.status_code == 400
        if reason != "a line must be an object":
            assert json.dumps(reason)[1:-1] in response.content.decode()
    assert Conversation.objects.count() == 0


@pytest.mark.parametrize("body", [[], [{}] * 1_001, b"", b"{", b'[{"id":"a","id":"b"}]', b"[NaN]"])
def test_a_body_that_is_no_list_of_conversations_is_400(client, dev, body):
    assert post(client, body).status_code == 400


def test_a_body_that_is_too_large_is_413(client, dev, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert post(client, line(texts=("x" * 100,))).status_code == 413


def test_another_content_type_is_415(client, dev):
    assert client.post(ADDRESS, {"id": "a"}).status_code == 415


def test_a_file_cannot_be_named_without_a_folder(client, dev):
    response = post(client, line(attachments=[{"name": "a", "mime": "b", "size": 1, "media": "passwd"}]))
    assert response.json()["reason"] == "attachments[0].media: there is no media folder here"


@pytest.mark.parametrize(
    ("role", "reads", "writes"),
    [
        (Role.ADMINISTRATOR, 200, 201), (Role.MEMBER, 200, 403), (Role.ENVIRONMENT_MANAGER, 200, 403),
        (Role.DEVELOPER, 403, 201), (None, 404, 404),
    ],
)  # fmt: skip
def test_roles_read_and_write_by_their_permissions(client, acme, role, reads, writes):
    client.force_login(factories.member(acme if role else factories.environment(), role or Role.ADMINISTRATOR))
    assert client.get(ADDRESS).status_code == reads
    assert post(client, line()).status_code == writes
    assert Conversation.objects.count() == (writes == 201)


def test_one_reads_back_what_went_in(client, acme):
    client.force_login(factories.member(acme))
    value = line(
        texts=("one", "two"),
        variables={"big": 2**63 - 1, "zero": 0, "none": None, "float": 1e308},
        contact={"id": "k", "name": "Kim", "variables": {"a": [1]}},
        attachments=[{"name": "x.png", "mime": "image/png", "size": 3, "seq": 1}],
    )
    address = f"{ADDRESS}{post(client, value).json()['uuid']}/"
    detail = client.get(address).json()
    assert (detail["id"], detail["channel"], detail["message_count"]) == ("c1", "web", 2)
    assert json.dumps(detail["variables"]) == json.dumps(dict(sorted(value["variables"].items())))
    assert (detail["contact"]["name"], detail["contact"]["variables"]) == ("Kim", {"a": [1]})
    assert [(each["name"], each["seq"], each["has_file"]) for each in detail["attachments"]] == [("x.png", 1, False)]
    messages = client.get(f"{address}messages/").json()["results"]
    assert [(each["seq"], each["text"]) for each in messages] == [(0, "one"), (1, "two")]


@pytest.mark.parametrize("count", [1, 50])
def test_listing_costs_the_same_for_any_number(client, acme, count, django_assert_num_queries):
    client.force_login(factories.member(acme))
    post(client, [line(f"c{number}") for number in range(count)])
    with django_assert_num_queries(6):  # session, its record, user, the gate, environment with the role, conversations
        assert len(client.get(ADDRESS).json()["results"]) == count


# -- Adding to a conversation -------------------------------------------------------------------


def messages_of(uuid):
    return list(Message.objects.filter(conversation__uuid=uuid).order_by("seq").values_list("seq", "text"))


def add(client, uuid, **body):
    return post(client, body, f"{ADDRESS}{uuid}/messages/")


def test_messages_come_after_the_last_and_the_same_seq_again_is_no_change(client, dev):
    uuid = post(client, line()).json()["uuid"]
    assert (
        add(client, uuid, messages=[{"role": "bot", "text": "hi"}, {"role": "user", "text": "x", "seq": 7}]).status_code
        == 201
    )
    assert add(client, uuid, messages=[{"role": "user", "text": "x", "seq": 7}]).status_code == 201
    refused = add(client, uuid, messages=[{"role": "bot", "text": "new"}, {"role": "user", "text": "else", "seq": 7}])
    assert refused.status_code == 400
    assert "messages[1].seq is taken by another message" in refused.content.decode()
    assert messages_of(uuid) == [(0, "hello"), (7, "x"), (8, "hi")]


def test_variables_are_written_now(client, dev, time_machine):
    uuid = post(client, line(variables={"a": 1, "b": 1}, ts="2026-01-01T00:00:00Z")).json()["uuid"]
    assert add(client, uuid, variables={"a": {"deep": 2}}).status_code == 201
    found = {each.key: (each.value, each.written_at) for each in ConversationVariable.objects.all()}
    assert found["a"] == ({"deep": 2}, NOW)
    assert found["b"][1] < NOW
    assert Conversation.objects.get().last_activity_at > NOW


def test_the_bounds_follow_what_is_added(client, dev):
    uuid = post(client, line(ts="2026-06-01T10:00:00Z")).json()["uuid"]
    add(client, uuid, messages=[{"role": "user", "text": "late", "ts": "2026-05-01T10:30:00Z"}])
    made = Conversation.objects.get()
    assert made.oldest_item_at.isoformat() == "2026-05-01T10:30:00+00:00"
    assert made.last_activity_at.isoformat() == "2026-06-01T10:05:00+00:00"
    future = (NOW + timedelta(days=9)).isoformat()
    add(client, uuid, messages=[{"role": "user", "text": "future", "ts": future}])
    message = Message.objects.order_by("-seq").first()
    assert (message.sent_at, message.claimed_at) == (NOW, NOW + timedelta(days=9))
    assert Conversation.objects.get().last_activity_at == NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"text": "x"}]},
        {"mesages": []},
        {"variables": []},
        {"messages": [{"role": "user", "text": "\ud800"}]},
    ],
)
def test_what_cannot_be_added_is_refused(client, dev, body):
    uuid = post(client, line()).json()["uuid"]
    assert add(client, uuid, **body).status_code == 400
    assert messages_of(uuid) == [(0, "hello")]


def test_a_conversation_past_its_cutoff_cannot_be_read(client, acme):
    client.force_login(factories.member(acme))
    Organisation.objects.filter(pk=acme.pk).update(
        archival="limit", archive_after_days=9, effective_archive_after_days=9
    )
    stored = post(client, line(ts="2026-01-01T00:00:00Z"))
    assert (stored.status_code, stored.json()["is_past_cutoff"]) == (201, True)
    assert client.get(ADDRESS).json()["results"] == []
    assert client.get(f"{ADDRESS}{stored.json()['uuid']}/").status_code == 404


# -- With a key ---------------------------------------------------------------------------------


def with_key(client, raw, method="POST", address=ADDRESS, **body):
    content = json.dumps(body) if body else ""
    return client.generic(method, address, content, content_type="application/json", HTTP_AUTHORIZATION=f"Bearer {raw}")


def test_a_key_stores_where_its_owner_can(client, acme):
    elsewhere = factories.environment(slug="elsewhere")
    developer = factories.member(acme, Role.DEVELOPER)
    _, raw = create_personal_key(developer, name="bot", by=Caller.of(developer), now=NOW)
    assert with_key(client, raw, **line()).status_code == 201
    assert with_key(client, raw, address=ADDRESS.replace("acme", "elsewhere"), **line()).status_code == 404
    assert with_key(client, raw, method="GET").status_code == 403
    assert with_key(client, raw[:-1], **line("c2")).status_code == 401
    assert [each.environment_id for each in Conversation.objects.all()] == [acme.pk]
    assert elsewhere.conversations.count() == 0


def test_an_organisations_own_key_stores_too(client, acme):
    _, raw = create_organisation_key(
        acme, name="bot", roles=[Role.DEVELOPER], by=Caller.of(factories.member(acme)), now=NOW
    )
    assert with_key(client, raw, **line()).status_code == 201


@pytest.mark.parametrize("ts", [[], {}, 5, None, True])
def test_a_timestamp_that_is_no_text_is_refused_and_the_rest_goes_in(client, dev, ts):
    bad = line("bad", messages=[{"role": "user", "text": "x", "seq": 0, "ts": ts}])

    response = post(client, [bad, line("good")])

    assert outcomes(response) == [
        ("bad", "refused", "messages[0].ts must be RFC 3339 with an offset"),
        ("good", "stored", ""),
    ]


@pytest.mark.parametrize("depth", [70, 400, 900])
def test_deep_variables_are_refused_when_adding_to_a_conversation(client, dev, depth):
    uuid = post(client, line()).json()["uuid"]
    value = b"[" * depth + b"]" * depth

    response = post(client, b'{"variables": {"deep": ' + value + b"}}", f"{ADDRESS}{uuid}/messages/")

    assert response.status_code == 400


def test_there_is_no_number_after_the_largest(client, dev):
    last = {"role": "user", "text": "last", "seq": 2**31 - 1}
    uuid = post(client, line(messages=[last])).json()["uuid"]

    response = add(client, uuid, messages=[{"role": "user", "text": "one more"}])

    assert response.status_code == 400
    assert "no number is left" in response.content.decode()
    assert Message.objects.count() == 1
