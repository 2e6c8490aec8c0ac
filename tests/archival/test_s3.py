"""Attachments in S3: a real server process, asked over HTTP, by the storage that the settings make for a deployment."""

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.utils import timezone

from archival.engine.run import purge
from archival.evidence.proof import check_all_environments
from archival.exports.services import continue_exports, expire_exports, request_exports
from archival.files.outbox import DOWN_AFTER, delete_blobs
from archival.files.sweep import sweep_storage
from archival.models import BlobToDelete
from conversations.ingest.blobs import MediaFolder
from conversations.ingest.lines import check_conversation
from conversations.ingest.services import store
from conversations.models import Attachment, Blob, Contact
from environments.caller import Caller
from tests.archival.limits import archive_after
from tests.archival.s3 import BUCKET
from tests.conversations.lines import line
from tests.factories import environment, member
from tests.logging_in import log_in

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("s3")]
DAY = timedelta(days=1)


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme"), 30)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"a cat")
    return MediaFolder(tmp_path)


def bring(of, folder, name, *, age, file="cat.png", label="cat.png"):
    """Store a conversation with a file that was sent that long ago."""
    at = (timezone.now() - age).isoformat()
    size = (folder.path / file).stat().st_size
    value = line(name, attachments=[{"name": label, "mime": "image/png", "size": size, "media": file}])
    value["messages"][0]["ts"] = at
    store(of, [check_conversation(value)], now=timezone.now(), media=folder)
    return Attachment.objects.select_related("blob").get(conversation__external_id=name, conversation__environment=of)


def test_a_file_is_stored_read_through_the_gate_and_deleted_with_its_attachment(s3, acme, folder, client):
    log_in(client, member(acme))
    (folder.path / "large.bin").write_bytes(large := bytes(range(256)) * 12_000)  # more than is kept in memory
    small = bring(acme, folder, "a", age=DAY, label="../../etc/passwd")
    big = bring(acme, folder, "b", age=DAY, file="large.bin", label="large.bin")

    assert s3.listed() == {small.blob.key, big.blob.key}
    assert "passwd" not in small.blob.key
    for attachment, content, name in ((small, b"a cat", "passwd"), (big, large, "large.bin")):
        response = client.get(f"/acme/attachments/{attachment.uuid}/")
        assert b"".join(response) == content == s3.read(attachment.blob.key)
        assert name in response["Content-Disposition"]
        assert "/" not in response["Content-Disposition"]

    purge(now=timezone.now() + 31 * DAY)
    assert client.get(f"/acme/attachments/{small.uuid}/").status_code == 404
    assert delete_blobs(now=timezone.now() + 31 * DAY).deleted == 2
    assert (s3.listed(), Blob.objects.count(), BlobToDelete.objects.count()) == (set(), 0, 0)


def test_an_export_of_the_environment_is_in_the_bucket_until_it_expires(s3, acme, folder, client):
    (folder.path / "large.bin").write_bytes(large := bytes(range(256)) * 12_000)
    stored = {bring(acme, folder, "a", age=DAY).blob.key, bring(acme, folder, "b", age=DAY, file="large.bin").blob.key}
    ada = member(acme)
    (export,) = request_exports([acme], by=Caller.of(ada), now=timezone.now())
    assert not continue_exports()
    (part,) = export.parts.all()
    assert s3.listed() == stored | {part.key}

    log_in(client, ada)
    answer = client.get(f"/acme/exports/{export.uuid}/1.zip")
    with zipfile.ZipFile(io.BytesIO(b"".join(answer))) as packed:
        assert sorted(packed.read(name) for name in packed.namelist() if "media/" in name) == sorted([b"a cat", large])

    expire_exports(now=timezone.now() + 8 * DAY)
    assert delete_blobs(now=timezone.now() + 8 * DAY).deleted == 1
    assert s3.listed() == stored


def test_the_export_of_a_contact_brings_its_files_from_the_bucket_and_names_what_is_missing(s3, acme, folder, client):
    log_in(client, member(acme))
    (folder.path / "large.bin").write_bytes(large := bytes(range(256)) * 12_000)
    value = line("a", attachments=[
        {"name": name, "mime": "a/b", "size": (folder.path / media).stat().st_size, "media": media}
        for name, media in (("../../etc/passwd", "cat.png"), ("large", "large.bin"))
    ])  # fmt: skip
    store(acme, [check_conversation(value)], now=timezone.now(), media=folder)
    address = f"/acme/contacts/{Contact.objects.get().uuid}/export/"

    def media():
        with zipfile.ZipFile(io.BytesIO(b"".join(client.get(address)))) as archive:
            return {name: archive.read(name) for name in archive.namelist() if name.startswith(("media/", "missing"))}

    assert sorted(media().values()) == sorted([b"a cat", large])
    s3.client.delete_object(Bucket=BUCKET, Key=Blob.objects.get(size=5).key)
    assert b"passwd" in media()["missing.txt"]


def test_one_content_is_one_object_for_each_environment_and_is_deleted_with_its_last_reference(s3, acme, folder):
    other = environment(slug="other")
    first, second = bring(acme, folder, "a", age=40 * DAY), bring(acme, folder, "b", age=DAY)
    theirs = bring(other, folder, "a", age=40 * DAY)
    assert first.blob == second.blob != theirs.blob
    assert s3.listed() == {first.blob.key, theirs.blob.key}

    purge(now=timezone.now())
    assert delete_blobs(now=timezone.now()).kept == 1
    assert s3.listed() == {first.blob.key, theirs.blob.key}

    purge(now=timezone.now() + 30 * DAY)
    assert delete_blobs(now=timezone.now() + 30 * DAY).deleted == 1
    assert s3.listed() == {theirs.blob.key}


def test_a_404_on_delete_counts_as_deleted(s3, acme, folder):
    gone = bring(acme, folder, "a", age=40 * DAY)
    s3.client.delete_object(Bucket=BUCKET, Key=gone.blob.key)
    purge(now=timezone.now())

    emptied = delete_blobs(now=timezone.now())

    assert (emptied.deleted, emptied.failed, BlobToDelete.objects.count()) == (1, 0, 0)


def test_a_bucket_that_is_not_there_deletes_nothing_and_the_files_wait_for_the_right_one(s3, acme, folder, settings):
    file = bring(acme, folder, "a", age=40 * DAY)
    now = timezone.now()
    purge(now=now)
    right = settings.STORAGES
    options = right["default"]["OPTIONS"] | {"bucket_name": "a-typing-error"}
    settings.STORAGES = right | {"default": right["default"] | {"OPTIONS": options}}

    assert delete_blobs(now=now).failed == 1
    assert BlobToDelete.objects.get().last_error == "NoSuchBucket"
    with pytest.raises(Exception, match="NoSuchBucket"):
        sweep_storage(now=now)

    settings.STORAGES = right
    assert s3.listed() == {file.blob.key}
    assert delete_blobs(now=now + timedelta(minutes=1)).deleted == 1
    assert s3.listed() == set()


def test_an_attachment_whose_bytes_are_not_there_is_a_404_page(s3, acme, folder, client):
    log_in(client, member(acme))
    gone = bring(acme, folder, "a", age=DAY)
    s3.client.delete_object(Bucket=BUCKET, Key=gone.blob.key)

    assert client.get(f"/acme/attachments/{gone.uuid}/").status_code == 404


def test_storage_that_is_down_for_an_hour_loses_nothing_and_catches_up(s3, acme, folder):
    file = bring(acme, folder, "a", age=40 * DAY)
    now = timezone.now()
    purge(now=now)
    s3.stop()

    # As if beat came every minute.
    tried = [minute for minute in range(60) if delete_blobs(now=now + timedelta(minutes=minute)).failed]
    row = BlobToDelete.objects.get()
    assert tried == [0, 1, 3, 7, 15, 31], "after 1, 2, 4, 8, 16 minutes, then every 30"
    assert (row.try_count, row.last_error) == (6, "EndpointConnectionError")

    s3.start()
    assert s3.listed() == {file.blob.key}
    assert delete_blobs(now=now + timedelta(minutes=61)).deleted == 1
    assert (s3.listed(), BlobToDelete.objects.count()) == (set(), 0)


def test_while_storage_is_down_a_task_gives_up_after_a_few_files_and_the_next_tries_others(s3, acme, folder):
    for number in range(12):
        (folder.path / f"{number}").write_text(f"content {number}")
        bring(acme, folder, f"c{number}", age=40 * DAY, file=f"{number}")
    now = timezone.now()
    purge(now=now)
    s3.stop()

    assert [delete_blobs(now=now).failed for _ in range(3)] == [DOWN_AFTER, DOWN_AFTER, 2]
    assert delete_blobs(now=now).failed == 0, "each has had its try"

    s3.start()
    assert delete_blobs(now=now + timedelta(minutes=1)).deleted == 12
    assert s3.listed() == set()


def test_while_storage_is_down_the_proof_takes_every_waiting_file_as_there_and_still_finds_the_rest(s3, acme, folder):
    now = timezone.now()
    (folder.path / "dog.png").write_bytes(b"a dog")
    bring(acme, folder, "a", age=31 * DAY)
    purge(now=now)
    bring(acme, folder, "b", age=40 * DAY, file="dog.png")
    s3.stop()
    try:
        late = {each.kind for each in check_all_environments(now=now + timedelta(hours=2)) if each.is_late}
    finally:
        s3.start()
    assert {"files", "messages"} <= late


def test_an_upload_while_storage_is_down_stores_nothing_at_all(s3, acme, folder):
    s3.stop()
    with pytest.raises(Exception, match="Could not connect"):
        bring(acme, folder, "a", age=DAY)
    assert (Blob.objects.count(), Attachment.objects.count(), acme.conversations.count()) == (0, 0, 0)
    s3.start()


def test_the_sweep_of_a_bucket_reads_every_page_of_the_list_and_leaves_young_files(s3, acme, capsys):
    keys = [f"{acme.pk}/{number:05}" for number in range(1_105)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.client.put_object(Bucket=BUCKET, Key=key, Body=b"x"), keys))
    orphans, known = keys[:5], keys[5:]
    created = timezone.now() - 2 * DAY
    Blob.objects.bulk_create(
        Blob(environment=acme, sha256=key, key=key, size=1, created_at=created) for key in [*known, f"{acme.pk}/gone"]
    )

    young = sweep_storage(now=timezone.now())
    old = sweep_storage(now=timezone.now() + 25 * timedelta(hours=1))
    assert (young.orphans, old.orphans) == ([], orphans)
    assert young.missing == old.missing == [f"{acme.pk}/gone"]

    deleting = sweep_storage(now=timezone.now() + 25 * timedelta(hours=1), delete=True)
    assert deleting.deleted == 5
    assert s3.listed() == set(known)
