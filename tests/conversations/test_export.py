"""A contact's data as a download."""

import csv
import io
import json
import zipfile
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Event
from conversations.blobs import MediaFolder
from conversations.choices import Outcome
from conversations.exporting import harmless
from conversations.lines import check, parse
from conversations.models import Contact
from conversations.services import store
from environments.choices import Role
from environments.models import Organisation
from tests import factories
from tests.conversations.lines import line
from tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return factories.environment(slug="acme", name="Acme")


@pytest.fixture
def now():
    return timezone.now()


def address() -> str:
    return f"/acme/contacts/{Contact.objects.get(external_id='k').uuid}/export/"


def download(client) -> zipfile.ZipFile:
    response = client.get(address())
    assert response.status_code == 200
    assert response["Content-Disposition"] == 'attachment; filename="contact.zip"'
    return zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content)))


def test_an_export_can_be_imported_again(client, acme, now, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"a cat")
    contact = {"id": "k", "name": "Kim", "variables": {"v": 1}}
    files = [{"name": "../cat.png", "mime": "image/png", "size": 5, "media": "cat.png"}]
    first = line("a", texts=("=1+1", "two"), variables={"n": None}, contact=contact, attachments=files)
    store(
        acme, [check(first), check(line("b", contact=contact)), check(line("x"))], now=now, media=MediaFolder(tmp_path)
    )
    sign_in(client, factories.member(acme))
    archive = download(client)
    archive.extractall(tmp_path / "out")
    elsewhere = factories.environment()
    lines = [parse(each) for each in archive.read("conversations.jsonl").splitlines(keepends=True)]
    results = store(elsewhere, lines, now=now, media=MediaFolder(tmp_path / "out" / "media"))
    assert [(each.outcome, each.reason) for each in results] == [(Outcome.STORED, "")] * 2
    assert [each.id for each in lines] == ["a", "b"]
    assert json.loads(archive.read("contact.json"))["variables"] == {"v": 1}
    cells = list(csv.reader(io.StringIO(archive.read("messages.csv").decode("utf-8-sig"))))
    assert [row[-1] for row in cells] == ["text", "'=1+1", "two", "hello"]
    exported = Contact.objects.get(environment=acme, external_id="k")
    event = Event.objects.get(action="contact.exported")
    assert event.after == {"contact": str(exported.uuid)}
    assert "Kim" not in event.subject_label


def test_an_export_holds_nothing_past_the_cutoff(client, acme, now):
    Organisation.objects.filter(pk=acme.pk).update(
        archival="limit", archive_after_days=9, effective_archive_after_days=9
    )
    contact = {"id": "k", "variables": {}}
    stamps = {"old": now - timedelta(days=10), "young": now}
    values = [line(name, texts=(f"{name} text",), contact=contact, ts=at.isoformat()) for name, at in stamps.items()]
    store(acme, [check(value) for value in values], now=now)
    sign_in(client, factories.member(acme))
    archive = download(client)
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert b"young text" in everything
    assert b"old" not in everything


@pytest.mark.parametrize(("role", "status"), [(Role.ADMINISTRATOR, 200), (Role.MEMBER, 403), (None, 404)])
def test_only_those_who_may_export_do(client, acme, now, role, status):
    store(acme, [check(line(contact={"id": "k", "variables": {}}))], now=now)
    sign_in(client, factories.member(acme if role else factories.environment(), role or Role.ADMINISTRATOR))
    assert client.get(address()).status_code == status


def test_a_session_that_is_not_stepped_up_is_asked_first(client, acme, now):
    store(acme, [check(line(contact={"id": "k", "variables": {}}))], now=now)
    client.force_login(factories.member(acme))
    response = client.get(address())
    assert response.status_code == 302
    assert not Event.objects.filter(action="contact.exported").exists()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "  ="])
def test_a_formula_becomes_text(start):
    assert harmless(f"{start}1+1") == f"'{start}1+1"


def test_an_ordinary_text_stays():
    assert harmless("2 - 1 = 1") == "2 - 1 = 1"
