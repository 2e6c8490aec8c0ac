"""What is refused of a request before anybody is asked who they are, and nothing of it is lost on the way."""

import json

import pytest
import requests
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from conversations.models import Conversation, Message
from environments.caller import Caller
from environments.choices import Role
from environments.keys.services import create_personal_key
from tests import factories
from tests.conversations.lines import line
from tests.web_process import running_web

ADDRESS = "/api/v1/environments/acme/conversations/"
MEBIBYTE = 1024 * 1024


@pytest.fixture
def key(transactional_db):
    acme = factories.environment(slug="acme", name="Acme")
    owner = factories.member(acme, Role.ADMINISTRATOR)
    return create_personal_key(owner, name="bot", by=Caller.of(owner), now=timezone.now())[1]


@pytest.fixture
def ask(key):
    with running_web() as web:

        def ask(method, path, body=None, **headers):
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} | headers
            address = web.address + path
            answer = requests.request(method, address, data=body, headers=headers, allow_redirects=False, timeout=100)
            answer.peak_bytes = web.peak_bytes()
            return answer

        yield ask


def in_chunks(value):
    return iter([json.dumps(value).encode()])


def test_what_comes_in_chunks_is_stored(ask):
    stored = ask("POST", ADDRESS, in_chunks(line("a", texts=("one",))))
    assert (stored.status_code, stored.json()["outcome"]) == (201, "stored")
    messages = f"{ADDRESS}{stored.json()['uuid']}/messages/"
    assert ask("POST", messages, in_chunks({"messages": [{"role": "user", "text": "two"}]})).status_code == 201
    assert sorted(Message.objects.values_list("text", flat=True)) == ["one", "two"]
    settings = "/api/v1/organisations/acme/settings/"
    assert ask("PATCH", settings, in_chunks({"require_mfa": "off"})).json()["require_mfa"] == "off"


def test_no_body_takes_memory_out_of_proportion_to_it(ask):
    before = ask("GET", "/healthz").peak_bytes
    small = [line(f"c{number}", texts=("x",) * 700) for number in range(1_000)]
    for body in (
        b"[" + b"{}," * (10 * MEBIBYTE) + b"{}]",
        b"[" + b"[]," * (10 * MEBIBYTE) + b"[]]",
        b'["' + b'","' * (10 * MEBIBYTE) + b'"]',
        b"[" + b"1," * (15 * MEBIBYTE) + b"1]",
        b"[" * (31 * MEBIBYTE),
        json.dumps(small, separators=(",", ":")).encode()[: 32 * MEBIBYTE],
    ):
        answer = ask("POST", ADDRESS, body)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert answer.peak_bytes - before < 256 * MEBIBYTE
    assert not Conversation.objects.exists()


@pytest.mark.parametrize(
    "path", ["/login/", "/verify/", "/api/v1/organisations/acme/settings/", "/acme/members/invite/"]
)
def test_a_large_body_is_refused_wherever_none_belongs(db, path):
    answer = Client().post(path, b"x" * 300_000, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 413


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/login/", "/language/", "/password/reset/"])
def test_no_page_takes_a_file_not_even_a_small_one(client, path):
    assert client.post(path, {"email": "a", "file": SimpleUploadedFile("a", b"b")}).status_code == 400


@pytest.mark.django_db
def test_chunks_that_a_server_does_not_put_together_are_refused(key):
    answer = Client().post(
        ADDRESS,
        line(),
        content_type="application/json",
        headers={"authorization": f"Bearer {key}", "transfer-encoding": "chunked"},
    )
    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")
    assert not Conversation.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("length", ["x", "-1", "1_0", "٣"])
def test_a_length_that_is_none_is_refused(key, length):
    answer = Client().post(ADDRESS, line(), "application/json", CONTENT_LENGTH=length)
    assert answer.status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"messages": []}', b'{"variables": {}}', b'{"messages":[],"variables":{}}']
)
def test_an_append_that_adds_nothing_is_refused(key, body):
    made = factories.conversation(of=factories.Organisation.objects.get(slug="acme"))
    headers = {"authorization": f"Bearer {key}"}
    address = f"{ADDRESS}{made.uuid}/messages/"
    answer = Client().generic("POST", address, body, content_type="application/json", headers=headers)
    assert answer.status_code == 400
    assert Client().generic("POST", ADDRESS, body, content_type="application/json", headers=headers).status_code == 400


@pytest.mark.django_db
def test_what_is_sent_to_an_address_without_its_slash_is_taken_as_it_is(key):
    client = Client(headers={"authorization": f"Bearer {key}"})
    stored = client.post(ADDRESS.removesuffix("/"), line(), content_type="application/json")
    assert (stored.status_code, stored.json()["outcome"]) == (201, "stored")
    patched = client.patch("/api/v1/organisations/acme/settings", {"require_mfa": "off"}, "application/json")
    assert (patched.status_code, patched.json()["require_mfa"]) == (200, "off")
    assert client.post("/login", {"email": "ada@acme.test"}).status_code == 200
    assert client.post("/api/v1/nothing", {}, "application/json").status_code == 404
    assert client.get(ADDRESS.removesuffix("/")).status_code == 301


@pytest.mark.django_db(transaction=True)
def test_everything_is_unavailable_while_the_database_is_away(client):
    member = factories.member(factories.environment(slug="acme"))
    client.raise_request_exception = False
    client.force_login(member)
    assert client.get("/readyz").status_code == 200
    assert client.get(ADDRESS).status_code == 200
    connection.close()
    host, connection.settings_dict["HOST"] = connection.settings_dict["HOST"], "/nowhere"
    try:
        for path, status in (("/healthz", 200), ("/readyz", 503), (ADDRESS, 503), ("/acme/", 503), ("/login/", 503)):
            answer = client.get(path)
            assert (path, answer.status_code) == (path, status)
            assert ("Retry-After" in answer) == (status == 503 and path != "/readyz")
        answer = Client(raise_request_exception=False).get(
            ADDRESS, headers={"authorization": "Bearer studio_ab12cd34_x"}
        )
        assert (answer.status_code, answer["Content-Type"]) in {(503, "application/json"), (401, "application/json")}
        assert client.get(ADDRESS).json()["code"] == "unavailable"
    finally:
        connection.settings_dict["HOST"] = host
