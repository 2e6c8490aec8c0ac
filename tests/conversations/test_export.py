"""A contact's data as a download."""

import csv
import io
import json
import os
import re
import tracemalloc
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from audit.models import Event
from conversations.choices import Outcome
from conversations.export.services import export_contact
from conversations.ingest.blobs import MediaFolder
from conversations.ingest.lines import check_conversation, parse
from conversations.ingest.services import store
from conversations.models import Blob, Contact
from environments.caller import Caller
from environments.choices import Role
from environments.models import Organisation
from tests import factories
from tests.conversations.lines import line
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db


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
        acme,
        [check_conversation(first), check_conversation(line("b", contact=contact)), check_conversation(line("x"))],
        now=now,
        media=MediaFolder(tmp_path),
    )
    log_in(client, factories.member(acme))
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
    store(acme, [check_conversation(value) for value in values], now=now)
    log_in(client, factories.member(acme))
    archive = download(client)
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert b"young text" in everything
    assert b"old" not in everything


@pytest.mark.parametrize(("role", "status"), [(Role.ADMINISTRATOR, 200), (Role.MEMBER, 403), (None, 404)])
def test_only_those_with_the_permission_can_export(client, acme, now, role, status):
    store(acme, [check_conversation(line(contact={"id": "k", "variables": {}}))], now=now)
    log_in(client, factories.member(acme if role else factories.environment(), role or Role.ADMINISTRATOR))
    assert client.get(address()).status_code == status


def test_a_session_that_is_not_stepped_up_is_asked_first(client, acme, now):
    store(acme, [check_conversation(line(contact={"id": "k", "variables": {}}))], now=now)
    client.force_login(factories.member(acme))
    response = client.get(address())
    assert response.status_code == 302
    assert not Event.objects.filter(action="contact.exported").exists()


@pytest.mark.parametrize(
    "label", ["../../etc/passwd", "/etc/passwd", "..\\..\\boot.ini", "C:\\x", ".hidden", "\u202egnp.exe"]
)
def test_no_name_in_the_zip_leads_out_of_its_folder(client, acme, now, tmp_path, label):
    (tmp_path / "cat.png").write_bytes(b"a cat")
    files = [{"name": label, "mime": "image/png", "size": 5, "media": "cat.png"}]
    value = line("a", contact={"id": "k", "variables": {}}, attachments=files)
    store(acme, [check_conversation(value)], now=now, media=MediaFolder(tmp_path))
    log_in(client, factories.member(acme))
    (name,) = [each for each in download(client).namelist() if each.startswith("media/")]
    assert re.fullmatch(r"media/\d+-[^/\\:\u202e]+", name)


def test_a_long_name_of_wide_letters_fits_a_file_system(client, acme, now, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"a cat")
    files = [{"name": "\U0001f408" * 200 + ".png", "mime": "image/png", "size": 5, "media": "cat.png"}]
    value = line("a", contact={"id": "k", "variables": {}}, attachments=files)
    store(acme, [check_conversation(value)], now=now, media=MediaFolder(tmp_path))
    log_in(client, factories.member(acme))

    download(client).extractall(tmp_path / "unpacked")

    (unpacked,) = (tmp_path / "unpacked/media").iterdir()
    assert (unpacked.read_bytes(), unpacked.suffix) == (b"a cat", ".png")


def test_an_export_that_fails_half_way_is_an_error_and_nothing_is_audited(client, acme, now, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"a cat")
    files = [{"name": "x", "mime": "image/png", "size": 5, "media": "cat.png"}]
    value = line("a", contact={"id": "k", "variables": {}}, attachments=files)
    store(acme, [check_conversation(value)], now=now, media=MediaFolder(tmp_path))
    path = Path(default_storage.path(Blob.objects.get().key))
    path.unlink()
    path.mkdir()  # neither there nor a file
    log_in(client, factories.member(acme))
    client.raise_request_exception = False
    assert client.get(address()).status_code == 500
    assert not Event.objects.filter(action="contact.exported").exists()


def test_an_export_needs_no_more_memory_for_a_large_file(acme, now, tmp_path):
    size = 64 * 1024 * 1024
    with (tmp_path / "large.bin").open("wb") as large:
        for _ in range(size // 2**20):
            large.write(os.urandom(2**20))
    files = [{"name": "large", "mime": "a/b", "size": size, "media": "large.bin"}]
    value = line("a", contact={"id": "k", "variables": {}}, attachments=files)
    store(acme, [check_conversation(value)], now=now, media=MediaFolder(tmp_path))
    contact = Contact.objects.select_related("environment").get(external_id="k")
    tracemalloc.start()
    with export_contact(contact, now=now, by=Caller.of(factories.member(acme))) as packed:
        packed.seek(0, os.SEEK_END)
        assert packed.tell() > size
        assert tracemalloc.get_traced_memory()[1] < 24 * 1024 * 1024
    tracemalloc.stop()
