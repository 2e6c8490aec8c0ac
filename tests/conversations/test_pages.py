"""Pages of conversations: what they show, to whom, and at what cost."""

import gzip
import itertools
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from conversations.ingest.lines import check_conversation, parse
from conversations.ingest.services import store
from conversations.models import Attachment, Blob, Contact, Conversation, ConversationVariable, Message
from environments.choices import Role
from environments.models import Organisation
from tests import factories
from tests.conversations.lines import line
from tests.factories import NOW
from tests.logging_in import log_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


@pytest.fixture
def ada(client, acme):
    user = factories.member(acme)
    client.force_login(user)
    return user


def page(client, name, *args, **query) -> str:
    response = client.get(reverse(f"conversations:{name}", args=["acme", *args]), query)
    assert response.status_code == 200
    return response.content.decode()


def listed(client, **query) -> list[str]:
    response = client.get(reverse("conversations:list", args=["acme"]), query)
    return [conversation.external_id for conversation in response.context["page"].rows]


def limit(environment, days):
    Organisation.objects.filter(pk=environment.pk).update(
        archival="limit", archive_after_days=days, effective_archive_after_days=days
    )


def test_the_latest_message_comes_first_within_the_hour_too(client, ada, acme):
    stamps = {"a": "11:59:01", "b": "11:59:59", "c": "10:00:00", "d": "11:01:00", "e": "11:30:00"}
    store(acme, [check_conversation(line(name, ts=f"2026-11-22T{at}Z")) for name, at in stamps.items()], now=NOW)
    assert listed(client) == ["b", "a", "e", "d", "c"]


def test_every_conversation_is_listed_once_whichever_way_one_pages(client, ada, acme):
    minutes = [number * 7 % 240 for number in range(120)]
    store(
        acme,
        [check_conversation(line(f"c{n}", ts=(NOW - timedelta(minutes=m)).isoformat())) for n, m in enumerate(minutes)],
        now=NOW,
    )
    address = reverse("conversations:list", args=["acme"])
    pages = []
    while address:
        context = client.get(address).context
        pages.append([each.external_id for each in context["page"].rows])
        address = context["older"] and reverse("conversations:list", args=["acme"]) + context["older"]
    seen = list(itertools.chain.from_iterable(pages))
    latest = dict(Message.objects.values_list("conversation__external_id", "sent_at"))
    assert seen == sorted(seen, key=lambda each: latest[each], reverse=True)
    assert sorted(seen) == sorted(latest)
    back = client.get(
        reverse("conversations:list", args=["acme"]) + client.get(address or "/acme/conversations/").context["older"]
    )
    assert [
        each.external_id for each in client.get("/acme/conversations/" + back.context["newer"]).context["page"].rows
    ] == pages[0]


@pytest.mark.parametrize(
    "cursor", ["", "x", "~", "~~", "~~1", "2026-11-22T00:00:00~2026-11-22T00:00:00~1", "2026-13-22T00:00:00Z~9~1", "\0"]
)
def test_a_cursor_that_makes_no_sense_is_the_beginning(client, ada, acme, cursor):
    store(acme, [check_conversation(line())], now=NOW)
    assert listed(client, older=cursor) == ["c1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"q": "PARCEL"}, ["in text"]),
        ({"q": "in te"}, ["in text"]),
        ({"q": "%"}, ["percent"]),
        ({"q": "zebra"}, ["in name"]),
        ({"q": "order_id"}, ["in variable"]),
        ({"q": "4711"}, ["in variable"]),
        ({"q": "nowhere"}, []),
        ({"channel": "<b>x</b>"}, ["in name"]),
        ({"since": "2026-11-21"}, ["in text"]),
        ({"until": "2026-11-20"}, ["percent", "in name", "in variable"]),
        ({"since": "nonsense"}, []),
        ({"until": "9999-12-31"}, ["in text", "percent", "in name", "in variable"]),
    ],
)  # fmt: skip
def test_one_can_search_and_filter(client, ada, acme, query, expected):
    contact = {"id": "z", "name": "Zebra", "variables": {}}
    store(
        acme,
        [
            check_conversation(line("in text", texts=("where is my parcel?",), ts="2026-11-22T00:00:00Z")),
            check_conversation(line("percent", texts=("100%",), ts="2026-11-20T23:59:59Z")),
            check_conversation(line("in name", contact=contact, channel="<b>x</b>", ts="2026-11-19T00:00:00Z")),
            check_conversation(line("in variable", variables={"order_id": {"no": 4711}}, ts="2026-11-18T00:00:00Z")),
        ],
        now=NOW,
    )
    assert listed(client, **query) == expected


def all_pages(conversation) -> list[str]:
    files = Attachment.objects.filter(conversation=conversation)
    return [
        reverse("conversations:list", args=["acme"]),
        reverse("conversations:list", args=["acme"]) + "?q=secret",
        reverse("conversations:detail", args=["acme", conversation.uuid]),
        reverse("conversations:text", args=["acme", conversation.uuid, 0]),
        reverse("conversations:contacts", args=["acme"]),
        reverse("conversations:contacts", args=["acme"]) + "?q=secret",
        reverse("conversations:contact", args=["acme", conversation.contact.uuid]),
        "/api/v1/environments/acme/conversations/",
        "/api/v1/environments/acme/conversations/?search=secret",
        f"/api/v1/environments/acme/conversations/{conversation.uuid}/",
        f"/api/v1/environments/acme/conversations/{conversation.uuid}/messages/",
        *(reverse("conversations:attachment", args=["acme", file.uuid]) for file in files),
    ]


def secret(acme, days_ago) -> Conversation:
    """A conversation in which everything that can be shown says so."""
    at = NOW - timedelta(days=days_ago)
    made = factories.conversation(of=acme, days_ago=days_ago, channel="secret channel", external_id="secret id")
    Contact.objects.filter(pk=made.contact_id).update(
        name="secret name", external_id="secret contact", variables={"secret": "secret"}
    )
    Message.objects.filter(conversation=made).update(text="secret text", author="secret author")
    ConversationVariable.objects.filter(conversation=made).update(key="secret key", value="secret value")
    key = default_storage.save("secret-key", ContentFile(b"secret bytes"))
    blob = Blob.objects.create(environment=acme, sha256="0" * 64, key=key, size=12)
    factories.attachment(of=made, blob=blob, at=at, name="secret.txt", mime="text/secret")
    return made


def body(response) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_every_page_shows_what_is_readable(client, ada, acme):
    limit(acme, 30)
    for address in all_pages(secret(acme, days_ago=30)):
        response = client.get(address)
        assert response.status_code == 200
        assert b"secret" in body(response).replace(b"?q=secret", b"").replace(b'value="secret"', b"")


def test_no_page_shows_what_is_past_its_cutoff_before_the_purge_has_run(client, ada, acme):
    limit(acme, 30)
    for address in all_pages(secret(acme, days_ago=30 + 1 / 86_400)):
        text = body(client.get(address)).replace(b"?q=secret", b"").replace(b"%3Fq%3Dsecret", b"")
        assert b"secret" not in text.replace(b'value="secret"', b"").replace(b"search=secret", b"")
    assert Message.objects.count() == 1


def test_old_items_of_a_living_conversation_are_gone_from_its_page(client, ada, acme):
    limit(acme, 30)
    made = factories.conversation(of=acme, days_ago=[31, 29])
    text = page(client, "detail", made.uuid)
    assert "Message 1" in text
    assert "Message 0" not in text
    assert client.get(reverse("conversations:text", args=["acme", made.uuid, 0])).status_code == 404


def test_an_empty_conversation_counts_its_creation(client, ada, acme):
    limit(acme, 30)
    store(acme, [check_conversation(line("old", texts=()))], now=NOW - timedelta(days=31))
    store(acme, [check_conversation(line("young", texts=()))], now=NOW - timedelta(days=29))
    assert listed(client) == ["young"]


def test_every_edge_conversation_opens_and_nothing_in_it_is_markup(client, ada, acme, data):
    with gzip.open(data / "edge_cases.jsonl.gz") as lines:
        store(acme, [parse(each) for each in lines], now=NOW)
    for made in Conversation.objects.select_related("contact"):
        for text in (page(client, "detail", made.uuid), page(client, "contact", made.contact.uuid)):
            assert "<img" not in text
            assert "alert(document.cookie)</script>" not in text
            assert 'href="javascript:' not in text
            assert 'href="data:' not in text
    text = page(client, "list")
    assert "<b>web</b>" not in text
    assert len(text) < 200_000


def test_a_long_conversation_comes_in_pages_by_seq(client, ada, acme):
    store(acme, [check_conversation(line(texts=tuple(f"text {n}." for n in range(250))))], now=NOW)
    uuid = Conversation.objects.get().uuid
    shown = [message.seq for message, _ in client.get(f"/acme/conversations/{uuid}/").context["messages_shown"]]
    assert shown == list(range(150, 250))
    before = client.get(f"/acme/conversations/{uuid}/?before=150").context
    assert [message.seq for message, _ in before["messages_shown"]] == list(range(50, 150))
    after = client.get(f"/acme/conversations/{uuid}/?after=149").context
    assert [message.seq for message, _ in after["messages_shown"]] == shown
    assert after["later"] is None


def test_a_long_text_is_cut_on_the_page_and_whole_behind_its_link(client, ada, acme):
    long = "x" * 20_001
    store(acme, [check_conversation(line(texts=(long,)))], now=NOW)
    uuid = Conversation.objects.get().uuid
    assert long not in page(client, "detail", uuid)
    response = client.get(f"/acme/conversations/{uuid}/messages/0/")
    assert response.content.decode() == long
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"


NAMES = [
    "../../etc/passwd",
    "a\r\nX-Evil: 1.txt",
    'a"; filename="b.html',
    "cod\u202egpj.exe",
    "..",
    "C:\\x.exe",
    "📎" * 255,
    ".htaccess",
]


@pytest.mark.parametrize("name", NAMES)
def test_an_attachment_is_only_ever_a_download(client, ada, acme, name):
    made = secret(acme, days_ago=0)
    Attachment.objects.filter(conversation=made).update(name=name, mime="text/html")
    response = client.get(reverse("conversations:attachment", args=["acme", Attachment.objects.get().uuid]))
    assert body(response) == b"secret bytes"
    assert response["Content-Type"] == "application/octet-stream"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Content-Disposition"].startswith("attachment; filename")
    assert not set(response["Content-Disposition"].partition("filename")[2]) & set("/\\\r\n:")
    assert "X-Evil" not in response.headers


@pytest.mark.parametrize(
    ("role", "status"), [(Role.MEMBER, 200), (Role.ENVIRONMENT_MANAGER, 200), (Role.DEVELOPER, 403), (None, 404)]
)
def test_only_those_with_the_permission_can_read_conversations(client, acme, role, status):
    made = secret(acme, days_ago=0)
    elsewhere = factories.environment()
    client.force_login(factories.member(acme if role else elsewhere, role or Role.ADMINISTRATOR))
    assert {client.get(address).status_code for address in all_pages(made)} == {status}


def test_another_environments_rows_do_not_exist_here(client, ada, acme):
    theirs = secret(factories.environment(), days_ago=0)
    found = {client.get(address).status_code for address in all_pages(theirs)[2:4]}
    found |= {client.get(all_pages(theirs)[number]).status_code for number in (6, 9, 10, 11)}
    assert found == {404}
    assert listed(client) == []


@pytest.mark.parametrize("name", ["list", "contacts"])
def test_a_list_costs_the_same_for_1_and_for_50_rows(client, ada, acme, name):
    log_in(client, ada)  # with a factor: who has none is asked one more, whether one will soon be required
    costs = []
    for count in (1, 50):
        store(acme, [check_conversation(line(f"{count}-{n}")) for n in range(count)], now=NOW)
        client.get(reverse(f"conversations:{name}", args=["acme"]))
        with CaptureQueriesContext(
            connection,
        ) as captured:
            client.get(reverse(f"conversations:{name}", args=["acme"]))
        costs.append(len(captured))
    assert costs[0] == costs[1] <= 11
