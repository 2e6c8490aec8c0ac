"""Exports of environments: written by a task, part by part, kept for some days, and never of anybody else."""

import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from archival import tasks
from archival.choices import ExportEnd, ExportState
from archival.exports import services
from archival.files.outbox import delete_blobs
from archival.files.sweep import sweep_storage
from archival.journal import entries as journal
from archival.models import BlobToDelete, Deletion, EnvironmentExport, ExportPart, JournalEntry
from archival.requests.deletion import begin_deletion, delete_organisation
from archival.requests.erasure import erase_contact
from archival.restore.reapply import reapply_journal
from audit.models import Event
from conversations.export import environments as writing
from conversations.ingest.blobs import MediaFolder
from conversations.ingest.lines import check_conversation
from conversations.ingest.services import store
from conversations.models import Blob, Contact, Conversation, Message
from environments.caller import Caller
from environments.choices import Role
from environments.models import Organisation
from tests import factories
from tests.archival.connections import run_aside, wait_until_waiting
from tests.conversations.lines import line
from tests.conversations.test_export_environment import rows_of
from tests.logging_in import log_in
from tests.mailbox import sent_mails

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def acme(agency, own_storage):
    return factories.environment(parent=agency, name="Acme", slug="acme")


@pytest.fixture
def ada(acme):
    return factories.member(acme, email="ada@acme.test")


@pytest.fixture
def small_parts(monkeypatch):
    """End a part after every two conversations."""
    monkeypatch.setattr(writing, "AT_ONCE", 2)
    monkeypatch.setattr(services, "PART_BYTES", 1)


def fill(environment: Organisation, tmp_path: Path, *, count: int = 5) -> None:
    """Store conversations of as many contacts, each with a file."""
    values = []
    for number in range(count):
        content = f"{environment.slug} file {number}".encode()
        (tmp_path / str(number)).write_bytes(content)
        attachments = [{"name": "../../x", "mime": "a/b", "size": len(content), "media": str(number), "seq": 0}]
        contact = {"id": f"k{number}", "name": f"Kim {number}", "variables": {"v": number}}
        values.append(
            line(f"{environment.slug}-{number}", contact=contact, variables={"n": number}, attachments=attachments)
        )
    parsed = [check_conversation(value) for value in values]
    store(environment, parsed, now=timezone.now(), media=MediaFolder(tmp_path))


def request(environment: Organisation, by) -> EnvironmentExport:
    (export,) = services.request_exports([environment], by=Caller.of(by), now=timezone.now())
    return export


def wait_a_minute() -> None:
    EnvironmentExport.objects.update(worked_at=F("worked_at") - timedelta(minutes=1, seconds=1))


def write(export: EnvironmentExport) -> EnvironmentExport:
    while services.continue_exports():
        pass
    export.refresh_from_db()
    return export


def unpacked(client, environment: Organisation, export: EnvironmentExport, path: Path) -> list[Path]:
    """Download every part, and return the folders with what they have."""
    folders = []
    for number in range(1, export.parts.count() + 1):
        response = client.get(f"/{environment.slug}/exports/{export.uuid}/{number}.zip")
        assert response.status_code == 200
        assert response["Cache-Control"] == "no-store, private"
        assert response["Content-Disposition"].startswith("attachment")
        with zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content))) as packed:
            packed.extractall(path / str(number))
        folders.append(path / str(number))
    return folders


def test_what_is_downloaded_can_be_imported_and_is_what_there_was(acme, agency, ada, client, tmp_path, small_parts):
    fill(acme, tmp_path)
    fill(factories.environment(parent=agency, slug="theirs"), tmp_path)
    fresh = factories.environment(parent=agency, slug="fresh")

    export = write(request(acme, ada))

    assert (export.state, export.parts.count()) == (ExportState.READY, 4)  # the last was begun when nothing was left
    counts = {"conversations": 5, "messages": 5, "variables": 5, "attachments": 5, "contacts": 5, "files": 5}
    assert export.counts == counts | {"bytes": 5 * len(b"acme file 0")}
    log_in(client, ada)
    for folder in unpacked(client, acme, export, tmp_path / "out"):
        assert b"theirs" not in b"".join(each.read_bytes() for each in folder.rglob("*") if each.is_file())
        call_command(
            "import_conversations", str(folder / "conversations.jsonl"), environment="fresh", stdout=io.StringIO()
        )
    assert rows_of(fresh) == rows_of(acme)
    manifests = [json.loads((tmp_path / f"out/{n}/manifest.json").read_text()) for n in (1, 2, 3, 4)]
    assert [(each["part"], each["is_last_part"]) for each in manifests] == [
        (1, False),
        (2, False),
        (3, False),
        (4, True),
    ]


def test_a_task_delivered_twice_writes_each_part_once(acme, ada, tmp_path, small_parts, pool):
    fill(acme, tmp_path)
    export = request(acme, ada)
    for done in [run_aside(pool, lambda: write(EnvironmentExport.objects.get())) for _ in range(3)]:
        done.result()
    export = write(export)
    assert (export.state, export.counts["conversations"]) == (ExportState.READY, 5)
    assert sorted(export.parts.values_list("number", flat=True)) == [1, 2, 3, 4]
    assert not services.continue_exports()  # delivered once more, after the end
    assert sweep_storage(now=timezone.now() + timedelta(days=2)).orphans == []


def test_a_part_whose_worker_died_is_written_again_and_no_half_file_is_shown(
    acme, ada, tmp_path, small_parts, monkeypatch
):
    fill(acme, tmp_path)
    export = request(acme, ada)
    assert services.continue_exports()

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(services, "store_part", die)
        with pytest.raises(KeyboardInterrupt):
            services.continue_exports()

    export.refresh_from_db()
    assert (export.state, export.parts.count()) == (ExportState.RUNNING, 1)
    assert write(export).counts["conversations"] == 5
    assert sweep_storage(now=timezone.now() + timedelta(days=2)).orphans == []


def test_while_an_export_runs_nothing_can_be_downloaded(acme, ada, client, tmp_path, small_parts):
    fill(acme, tmp_path)
    export = request(acme, ada)
    services.continue_exports()
    log_in(client, ada)
    assert client.get(f"/acme/exports/{export.uuid}/1.zip").status_code == 404
    assert "2 of 5 conversations written" in client.get(f"/acme/exports/{export.uuid}/").text


def test_an_export_expires_and_its_files_leave_storage(acme, ada, client, tmp_path, settings):
    settings.EXPORT_DAYS = 3
    fill(acme, tmp_path)
    export = write(request(acme, ada))
    assert export.expires_at == export.ended_at + timedelta(days=3)
    key = export.parts.get().key
    log_in(client, ada)

    services.expire_exports(now=export.expires_at - timedelta(seconds=1))
    assert default_storage.exists(key)
    services.expire_exports(now=export.expires_at)
    assert delete_blobs(now=export.expires_at).deleted == 1

    assert (default_storage.exists(key), BlobToDelete.objects.count(), ExportPart.objects.count()) == (False, 0, 0)
    assert Blob.objects.filter(environment=acme).count() == 5  # those of the conversations stay
    event = Event.objects.get(action="environment.export_expired")
    assert (event.organisation_id, event.after["files"], event.after["bytes"] > 0) == (acme.pk, 1, True)
    assert client.get(f"/acme/exports/{export.uuid}/1.zip").status_code == 404
    assert "The export has expired" in client.get(f"/acme/exports/{export.uuid}/").text


def test_a_newer_export_replaces_the_one_before_once_it_is_ready(acme, ada, tmp_path):
    fill(acme, tmp_path)
    first = write(request(acme, ada))
    second = request(acme, ada)
    first.refresh_from_db()
    assert first.is_ready
    write(second)
    first.refresh_from_db()
    assert (first.state, first.reason, first.parts.count()) == (ExportState.WITHDRAWN, ExportEnd.REPLACED, 0)


def test_one_export_of_an_environment_runs_at_a_time(acme, ada):
    request(acme, ada)
    with pytest.raises(ValidationError, match="running already"):
        request(acme, ada)


# -- What is erased or deleted meanwhile --------------------------------------------------------------


@pytest.mark.parametrize("is_ready", [True, False])
def test_erasing_a_contact_deletes_the_exports_that_could_have_their_data(
    acme, agency, ada, tmp_path, small_parts, is_ready
):
    fill(acme, tmp_path)
    other = factories.environment(parent=agency, slug="other")
    theirs = write(request(other, factories.member(other)))
    export = request(acme, ada)
    if is_ready:
        write(export)
    else:
        services.continue_exports()
    part_count = export.parts.count()

    erase_contact(Contact.objects.get(environment=acme, external_id="k4"), by=Caller.of(ada), now=timezone.now())

    export.refresh_from_db()
    theirs.refresh_from_db()
    assert (export.state, export.reason, export.parts.count()) == (ExportState.WITHDRAWN, ExportEnd.ERASURE, 0)
    assert theirs.is_ready
    event = Event.objects.get(action="environment.export_withdrawn")
    assert (event.after["files"], event.after["reason"]) == (part_count, "erasure")
    assert not services.continue_exports()
    assert BlobToDelete.objects.filter(blob_id=0).count() == part_count


def test_a_part_that_is_being_written_during_an_erasure_is_not_kept(acme, ada, tmp_path, monkeypatch):
    fill(acme, tmp_path)
    export = request(acme, ada)
    save = default_storage.save

    def save_after_an_erasure(name, content):
        erase_contact(Contact.objects.get(external_id="k0"), by=Caller.of(ada), now=timezone.now())
        return save(name, content)

    with monkeypatch.context() as patch:
        patch.setattr(default_storage, "save", save_after_an_erasure)
        assert not services.continue_exports()

    export.refresh_from_db()
    assert (export.state, ExportPart.objects.count()) == (ExportState.WITHDRAWN, 0)
    assert sweep_storage(now=timezone.now() + timedelta(days=2)).orphans == []


def test_a_request_waits_for_an_erasure(acme, ada, tmp_path, pool):
    fill(acme, tmp_path)
    with transaction.atomic():
        erase_contact(Contact.objects.get(external_id="k0"), by=Caller.of(ada), now=timezone.now())
        begun = run_aside(pool, lambda: request(acme, ada))
        wait_until_waiting()
    export = write(begun.result())
    assert (export.state, export.counts["conversations"]) == (ExportState.READY, 4)


def test_what_is_past_its_limit_is_not_exported(acme, ada, tmp_path):
    fill(acme, tmp_path)
    old = timezone.now() - timedelta(days=40)
    Message.objects.filter(conversation__external_id="acme-0").update(sent_at=old)
    Conversation.objects.filter(external_id="acme-0").update(oldest_item_at=old)
    Organisation.objects.filter(pk=acme.pk).update(
        archival="limit", archive_after_days=30, effective_archive_after_days=30
    )
    assert write(request(acme, ada)).counts["messages"] == 4


def test_a_running_export_keeps_the_deletion_from_beginning(acme, ada):
    request(acme, ada)
    with pytest.raises(ValidationError, match="An export is being written"):
        begin_deletion(acme, by=Caller.of(ada), now=timezone.now())
    assert not Deletion.objects.exists()


def test_what_is_being_deleted_is_not_exported(acme, ada):
    begin_deletion(acme, by=Caller.of(ada), now=timezone.now())
    with pytest.raises(ValidationError, match="nothing to export"):
        request(acme, ada)


def test_an_export_outlives_its_environment_for_the_administrators_above(acme, agency, ada, client, tmp_path):
    fill(acme, tmp_path)
    above, stranger = factories.member(agency), factories.member(factories.organisation(name="Elsewhere"))
    export = write(request(acme, ada))
    before = rows_of(acme)

    delete_organisation(acme, by=Caller.of(ada), now=timezone.now())
    delete_blobs(now=timezone.now())

    export.refresh_from_db()
    assert (export.state, export.parent) == (ExportState.READY, agency)
    address = f"/noorderlicht/exports/{export.uuid}/1.zip"
    for user, status in ((ada, 404), (stranger, 404), (factories.member(agency, Role.ORGANISATION_MANAGER), 403)):
        log_in(client, user)
        assert client.get(address).status_code == status
    log_in(client, above)
    assert "Acme" in client.get("/noorderlicht/exports/").text
    (folder,) = unpacked(client, agency, export, tmp_path / "out")
    assert len((folder / "conversations.jsonl").read_bytes().splitlines()) == len(before["conversations"])
    event = Event.objects.get(action="environment_export.downloaded")
    assert (event.organisation_id, event.actor_id, event.subject_label) == (agency.pk, above.pk, str(export.uuid))
    services.expire_exports(now=export.expires_at)
    assert Event.objects.get(action="environment.export_expired").after["environment"] == "Acme"


def test_after_a_restore_no_export_is_left_since_it_could_have_what_was_erased(acme, ada, tmp_path):
    fill(acme, tmp_path)
    erase_contact(Contact.objects.get(external_id="k0"), by=Caller.of(ada), now=timezone.now())
    journal.write_entries()
    export = write(request(acme, ada))
    JournalEntry.objects.all().delete()  # as in a database from before the erasure
    reapply_journal(now=timezone.now())
    export.refresh_from_db()
    assert (export.state, export.reason) == (ExportState.WITHDRAWN, ExportEnd.BACKUP)


# -- Errors of storage --------------------------------------------------------------------------------


def test_an_error_of_storage_is_tried_again_and_then_said(acme, ada, tmp_path, small_parts, client):
    fill(acme, tmp_path)
    export = request(acme, ada)
    services.continue_exports()
    path = Path(
        default_storage.path(Blob.objects.get(environment=acme, attachments__conversation__external_id="acme-4").key)
    )
    content = path.read_bytes()
    path.unlink()
    path.mkdir()  # neither there nor a file
    assert services.continue_exports()
    assert not services.continue_exports()
    log_in(client, ada)
    assert "The export is tried again in a minute." in client.get(f"/acme/exports/{export.uuid}/").text
    path.rmdir()
    path.write_bytes(content)
    assert services.next_export() is None
    wait_a_minute()
    assert write(export).is_ready


def test_an_export_that_storage_refuses_again_and_again_has_failed(acme, ada, tmp_path, small_parts, monkeypatch):
    fill(acme, tmp_path)
    export = request(acme, ada)
    services.continue_exports()
    monkeypatch.setattr(services, "LEAST_FREE", 2**62)  # no disk has that much room
    for _ in range(services.MOST_TRIES):
        assert not services.continue_exports()
        wait_a_minute()
    export.refresh_from_db()
    assert (export.state, export.reason, export.parts.count()) == (ExportState.FAILED, ExportEnd.STORAGE, 0)
    assert BlobToDelete.objects.filter(blob_id=0).count() == 1
    assert Event.objects.get(action="environment.export_failed").after["reason"] == "storage"


def test_a_file_that_storage_lacks_is_counted_and_said(acme, ada, tmp_path, client):
    fill(acme, tmp_path)
    default_storage.delete(Blob.objects.filter(environment=acme).order_by("pk").first().key)
    export = write(request(acme, ada))
    assert (export.is_ready, export.missing_count, export.counts["files"]) == (True, 1, 4)
    log_in(client, ada)
    assert "1 file was not in storage." in client.get(f"/acme/exports/{export.uuid}/").text


# -- Pages and mails ----------------------------------------------------------------------------------


def test_a_customer_is_exported_environment_by_environment_with_one_mail(customer, client, tmp_path):
    slugs = ("one", "two", "three")
    for slug in slugs:
        fill(factories.environment(parent=customer, slug=slug, name=slug.title()), tmp_path, count=1)
    ada = factories.member(customer, email="ada@acme.test")
    log_in(client, ada)

    client.post("/customer/exports/start/")
    exports = list(EnvironmentExport.objects.order_by("pk"))
    assert {export.environment_label for export in exports} == {"One", "Two", "Three"}
    for _ in range(2):
        services.continue_exports()
    tasks.tend_exports()
    assert not EnvironmentExport.objects.filter(is_announced=True).exists()
    services.continue_exports()
    tasks.tend_exports()
    tasks.tend_exports()
    (mail,) = sent_mails()
    assert mail.to == ["ada@acme.test"]
    assert mail.subject == "The exports of One and 2 other environments have ended"
    assert [f"- {name}: Ready" in mail.body for name in ("One", "Two", "Three")] == [True] * 3


def test_people_get_a_mail_when_their_export_is_ready_and_when_an_erasure_deletes_it(acme, ada, tmp_path):
    fill(acme, tmp_path)
    write(request(acme, ada))
    tasks.tend_exports()
    erase_contact(Contact.objects.get(external_id="k0"), by=Caller.of(ada), now=timezone.now())
    tasks.tend_exports()
    tasks.tend_exports()
    assert [mail.subject for mail in sent_mails()] == ["The export of Acme is ready", "The export of Acme was deleted"]
    assert "/acme/exports/" in sent_mails()[0].body


def test_beat_goes_on_with_exports_whose_task_was_lost_and_they_take_turns(acme, agency, tmp_path, small_parts):
    other = factories.environment(parent=agency, name="Other", slug="other")
    exports = []
    for environment in (acme, other):
        fill(environment, tmp_path, count=3)
        exports.append(request(environment, factories.member(environment)))
    written = []
    for _ in range(4):
        services.continue_exports()
        written.append([export.parts.count() for export in exports])
    assert written == [[1, 0], [1, 1], [2, 1], [2, 2]]
    tasks.write_exports()
    exports[0].refresh_from_db()
    assert exports[0].is_ready


def test_an_export_is_started_stopped_and_deleted_on_its_pages(acme, ada, client, tmp_path):
    fill(acme, tmp_path)
    log_in(client, ada)
    assert "Export Acme" in client.get("/acme/exports/").text
    page = client.post("/acme/exports/start/")
    export = EnvironmentExport.objects.get()
    assert page["Location"] == f"/acme/exports/{export.uuid}/"
    client.post(f"/acme/exports/{export.uuid}/delete/")
    export.refresh_from_db()
    assert (export.state, export.reason) == (ExportState.WITHDRAWN, ExportEnd.PERSON)
    assert not services.continue_exports()
    tasks.tend_exports()
    assert sent_mails() == []  # they know


def test_the_page_of_the_deletion_says_what_there_is_of_exports(acme, ada, client, tmp_path):
    fill(acme, tmp_path)
    log_in(client, ada)
    assert "Export first" in client.get("/acme/delete/").text
    export = request(acme, ada)
    page = client.get("/acme/delete/").text
    assert ("An export is being written" in page, "typed_name" in page) == (True, False)
    write(export)
    page = " ".join(client.get("/acme/delete/").text.split())
    assert ("It has 5 conversations; the environment has 5 now." in page, "typed_name" in page) == (True, True)


def test_the_page_of_an_erasure_says_that_the_export_is_deleted_too(acme, ada, client, tmp_path):
    fill(acme, tmp_path)
    log_in(client, ada)
    address = f"/acme/contacts/{Contact.objects.get(external_id='k0').uuid}/erase/"
    said = "The export of this environment is deleted too"
    assert said not in client.get(address).text
    write(request(acme, ada))
    assert said in client.get(address).text


@pytest.mark.parametrize("address", ["start/", "{uuid}/1.zip", "{uuid}/delete/"])
def test_a_session_that_is_not_stepped_up_is_asked_first(acme, ada, client, tmp_path, address):
    export = write(request(acme, ada))
    client.force_login(ada)
    path = f"/acme/exports/{address.format(uuid=export.uuid)}"
    response = client.get(path) if path.endswith("zip") else client.post(path)
    assert (response.status_code, response["Location"].split("?")[0]) == (302, "/profile/security/confirm/")
    export.refresh_from_db()
    assert export.is_ready
    assert EnvironmentExport.objects.count() == 1


@pytest.mark.parametrize("count", [1, 50])
def test_the_list_costs_the_same_for_any_number(acme, ada, client, count, django_assert_num_queries):
    now = timezone.now()
    for _ in range(count):
        EnvironmentExport.objects.create(
            environment=acme, environment_label="Acme", requested_at=now, requested_label="ada", counted={}, counts={},
            worked_at=now, ended_at=now, state=ExportState.EXPIRED,
        )  # fmt: skip
    log_in(client, ada)
    client.get("/acme/exports/")
    with django_assert_num_queries(7):
        client.get("/acme/exports/")
