"""A backup that is put back has forgotten what was deleted since; the journal has not."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.core.management import CommandError, call_command
from django.utils import timezone

from archival import tasks
from archival.choices import ChangeState
from archival.engine.run import purge
from archival.files.sweep import sweep_storage
from archival.holds.services import place_hold, release_hold
from archival.journal import entries as journal
from archival.journal.receipt_file import NotAuthentic
from archival.models import BlobToDelete, Erasure, Hold, JournalEntry, PolicyChange, PurgeRun, Receipt
from archival.policy.services import cancel_change, change_retention, move_organisation
from archival.requests.erasure import erase_contact
from archival.restore.readiness import READY_FOR, readiness
from archival.restore.reapply import reapply_journal
from audit.models import Event
from conversations.models import Blob, Contact, Message
from environments.caller import SYSTEM
from environments.models import Organisation
from environments.policies.retention import Retention
from tests.archival import oracle
from tests.archival.limits import archive_after
from tests.archival.restoring import backup
from tests.factories import attachment, conversation, environment, member, organisation
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db(transaction=True)


def with_file(of, *, days_ago, now):
    made = conversation(of=of, days_ago=days_ago, now=now)
    key = default_storage.save(f"{of.pk}/restored", ContentFile(b"bytes"))
    blob = Blob.objects.create(environment=of, sha256=key, key=key, size=5)
    attachment(of=made, blob=blob, at=now - timedelta(days=days_ago))
    return made


def files():
    return sorted(path for path in Path(storages["journal"].location).rglob("*.json"))


def fill(now):
    """Create environments of which each will have another fate after the backup."""
    agency = organisation(slug="agency")
    found = {
        name: environment(slug=name, parent=agency)
        for name in ("tightened", "loosened", "emptied", "erased", "held", "released", "cancelled", "moved", "young")
    }
    for name, days in {"loosened": 30, "emptied": 30, "held": 30, "released": 30, "young": 365}.items():
        archive_after(found[name], days)
    for each in found.values():
        with_file(each, days_ago=400, now=now)
        conversation(of=each, days_ago=[400, 31, 1], now=now)
        conversation(of=each, days_ago=0.5, now=now)
    hold = place_hold(found["released"], reason="dispute", by=SYSTEM, now=now)
    change = change_retention(found["cancelled"], to=Retention.limit(10), by=SYSTEM, now=now)
    return found, hold, change


def act(found, hold, change, now):
    """Do what an installation does in the days after its backup."""
    limit = {"to": Retention.limit(60), "by": SYSTEM, "now": now, "at_once": True}
    change_retention(found["tightened"], **limit)
    strict = archive_after(organisation(slug="strict"), 20)
    place_hold(found["held"], reason="dispute", contact=Contact.objects.filter(environment=found["held"]).first(),
               by=SYSTEM, now=now)  # fmt: skip
    release_hold(hold, by=SYSTEM, now=now)
    cancel_change(change, by=SYSTEM, now=now)
    erase_contact(Contact.objects.filter(environment=found["erased"]).first(), by=SYSTEM, now=now)
    move_organisation(found["moved"], to=strict, by=SYSTEM, now=now, at_once=True)
    expected = oracle.expected(now)
    purge(now=now, sleep_ratio=0)
    assert oracle.present() == replace(expected, receipts={}, oldest={})
    change_retention(found["loosened"], to=Retention.limit(3650), by=SYSTEM, now=now)
    change_retention(found["emptied"], to=Retention.keep(), by=SYSTEM, now=now)


def test_what_was_deleted_since_the_backup_is_deleted_again_and_nothing_else(client, capsys):
    now = timezone.now()
    found, hold, change = fill(now)
    with backup() as taken:
        before = oracle.present()
        act(found, hold, change, now)
        # A root of later is not in the backup: where it was, the moved environment lost by cutoff, and loses again.
        lost, limits = oracle.present(), dict(limits_now())
        taken.restore()
        assert (oracle.present(), PurgeRun.objects.count()) == (before, 0)

        call_command("reapply_purges", "--dry-run")
        planned = capsys.readouterr().out
        assert (oracle.present(), Erasure.objects.count(), PolicyChange.objects.get().state) == (before, 0, "pending")
        assert journal.database_is_older()
        call_command("reapply_purges")
        done = capsys.readouterr().out

    assert oracle.present() == lost
    begun = "Repeating the entries of the journal.\n"
    assert begun + planned.replace("Would be permanently", "Permanently") == done
    limits.pop("moved")
    assert {slug: days for slug, days in limits_now() if slug in limits} == limits
    assert Erasure.objects.get().contacts == 1
    assert {receipt.environment.slug for receipt in Receipt.objects.all() if receipt.rows} == {
        "tightened", "loosened", "emptied", "held", "released", "moved", "young",
    }  # fmt: skip
    assert Event.objects.get(action="purge.reapplied").after["messages"] == PurgeRun.objects.get().messages
    assert PolicyChange.objects.get(pk=change.pk).state == ChangeState.CANCELLED
    assert Hold.objects.get(pk=hold.pk).released_at is not None


def limits_now():
    return Organisation.objects.environments().values_list("slug", "effective_archive_after_days")


def test_doing_it_again_changes_nothing(capsys):
    now = timezone.now()
    acme = archive_after(environment(), 30)
    conversation(of=acme, days_ago=31, now=now)
    with backup() as taken:
        purge(now=now, sleep_ratio=0)
        taken.restore()
        reapply_journal(now=now)
        assert reapply_journal(now=now).entries == 0
        assert PurgeRun.objects.count() == 1
        erase_contact(Contact.objects.filter(pk=conversation(of=acme).contact_id).get(), by=SYSTEM, now=now)
        assert not journal.database_is_older()

        taken.restore()  # an old backup again: the journal has what was done, and not once more what was done again
        found = reapply_journal(now=now)

    assert (found.entries, found.counts["messages"], Message.objects.count()) == (2, 1, 0)


def test_nothing_but_that_it_is_not_ready_is_served_until_then(client):
    now = timezone.now()
    acme = archive_after(environment(slug="acme"), 30)
    ada = member(acme)
    conversation(of=acme, days_ago=31, now=now)
    log_in(client, ada)
    with backup() as taken:
        assert client.get("/readyz").status_code == 200
        purge(now=now, sleep_ratio=0)
        taken.restore()
        log_in(client, ada)

        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")
        assert (answer.status_code, answer.content) == (
            503,
            b"A backup was restored. What was deleted since is being deleted again.\n",
        )
        for address in ("/", "/login/", "/acme/", "/acme/conversations/", "/api/v1/organisations/", "/no/such/page/"):
            assert client.get(address).status_code == 503
        assert client.post("/api/v1/environments/acme/conversations/").json()["code"] == "not_ready"
        page = client.get("/acme/", headers={"Accept-Language": "nl"})
        assert b'<html lang="nl"' in page.content
        tasks.purge()
        tasks.apply_due_changes()
        assert (PurgeRun.objects.count(), Message.objects.count()) == (0, 1), "its limits are of then"
        with pytest.raises(CommandError, match="reapply_purges"):
            call_command("purge")

        reapply_journal(now=now)
        readiness.known_until = 0
        assert client.get("/readyz").content == b"ok\n"
        assert client.get("/acme/").status_code == 200


def test_no_file_that_waited_when_the_backup_was_taken_is_deleted_until_then():
    now = timezone.now()
    acme = archive_after(environment(slug="acme"), 30)
    with_file(acme, days_ago=31, now=now)
    key = Blob.objects.get().key
    purge(now=now, sleep_ratio=0)
    with backup() as taken:
        conversation(of=acme, days_ago=31, now=now)
        purge(now=now, sleep_ratio=0)
        taken.restore()

        tasks.delete_blobs()
        assert (default_storage.exists(key), BlobToDelete.objects.count()) == (True, 1)

        reapply_journal(now=now)
        tasks.delete_blobs()
        assert (default_storage.exists(key), BlobToDelete.objects.count()) == (False, 0)


def test_the_sweep_deletes_no_file_that_an_older_database_does_not_know(time_machine):
    now = timezone.now()
    acme = archive_after(environment(slug="acme"), 30)
    conversation(of=acme, days_ago=31, now=now)
    with backup() as taken:
        with_file(acme, days_ago=1, now=now)
        key = Blob.objects.get().key
        purge(now=now, sleep_ratio=0)
        taken.restore()
        time_machine.move_to(now + timedelta(days=2))

        with pytest.raises(CommandError, match="reapply_purges"):
            call_command("sweep_blobs", "--delete")
        assert default_storage.exists(key)


def test_readiness_asks_the_journal_once_a_minute_and_not_once_a_request(client, monkeypatch):
    asked = []
    real = journal.database_is_older
    monkeypatch.setattr(journal, "database_is_older", lambda: asked.append(1) or real())
    for _ in range(5):
        client.get("/login/")
    assert len(asked) == 1
    readiness.known_until -= READY_FOR
    client.get("/login/")
    assert len(asked) == 2


@pytest.mark.parametrize(("was_ready", "status"), [(True, 200), (False, 503)])
def test_a_journal_that_cannot_be_read_holds_back_who_starts_and_not_who_runs(client, was_ready, status):
    location = Path(storages["journal"].location)
    location.parent.mkdir(parents=True, exist_ok=True)
    if was_ready:
        assert client.get("/readyz").status_code == 200
        readiness.known_until = 0
    location.write_text("in the way")
    try:
        assert client.get("/readyz").status_code == status
    finally:
        location.unlink()


@pytest.mark.parametrize("harm", ["changed", "renamed", "half", "receipts"])
def test_a_file_that_we_did_not_sign_deletes_nothing(client, harm):
    now = timezone.now()
    acme = archive_after(environment(slug="acme"), 30)
    log_in(client, member(acme))
    statement = client.get("/acme/retention/receipts.signed.json").content
    conversation(of=acme, days_ago=31, now=now)
    with backup() as taken:
        purge(now=now, sleep_ratio=0)
        taken.restore()
        (file,) = files()
        match harm:
            case "changed":
                file.write_text(file.read_text().replace("cutoff", "cutofF"))
            case "renamed":
                file.rename(file.with_name(file.name[:13] + "0" * 8 + file.name[21:]))
            case "half":
                file.write_text(file.read_text()[:100])
            case "receipts":
                file.write_bytes(statement)
        with pytest.raises(NotAuthentic, match=file.name[:12]):
            reapply_journal(now=now)
        with pytest.raises(CommandError, match="not signed by this Studio"):
            call_command("reapply_purges")
    assert (Message.objects.count(), journal.database_is_older()) == (1, True)


def test_the_journal_has_ids_and_no_content():
    now = timezone.now()
    acme = archive_after(environment(name="Acme"), 30)
    made = conversation(of=acme, days_ago=31, now=now, external_id="whatsapp-31612345678")
    place_hold(acme, reason="Dispute with Jan Jansen", contact=made.contact, by=SYSTEM, now=now)
    erase_contact(conversation(of=acme, days_ago=1, now=now).contact, by=SYSTEM, now=now)
    told = "".join(file.read_text() for file in files())
    assert len(files()) == 2
    for word in ("Jansen", "whatsapp", "Message", made.contact.external_id):
        assert word not in told


def test_an_entry_that_storage_did_not_take_is_written_later_and_a_half_file_is_replaced(settings):
    now = timezone.now()
    location = Path(storages["journal"].location)
    location.parent.mkdir(parents=True, exist_ok=True)
    location.write_text("in the way")
    acme = environment()
    erase_contact(conversation(of=acme).contact, by=SYSTEM, now=now)
    assert JournalEntry.objects.get().sequence is None
    location.unlink()
    entry = JournalEntry.objects.get()
    torn = location / "000000000" / f"{1:012d}-{entry.uuid}.json"
    torn.parent.mkdir(parents=True)
    torn.write_text("{")

    tasks.write_journal()

    assert JournalEntry.objects.get().sequence == 1
    assert files() == [torn]
    assert journal.read_entry(f"000000000/{torn.name}").payload["slug"] == acme.slug


def test_what_cannot_be_done_again_is_said(capsys):
    now = timezone.now()
    agency = organisation(slug="agency")
    acme = environment(slug="acme", parent=agency)
    with backup() as taken:
        change_retention(acme, to=Retention.keep(), by=SYSTEM, now=now)
        taken.restore()
        archive_after(agency, 10, locked=True)
        with pytest.raises(CommandError, match="1 entry could not"):
            call_command("reapply_purges")
    assert "Not repeated: 1 (policy" in capsys.readouterr().err
    assert not journal.database_is_older()


def test_the_sweep_leaves_a_journal_beside_the_files_alone():
    key = default_storage.save("journal/000000000/1.json", ContentFile(b"{}"))
    old = timezone.now() + timedelta(days=2)
    assert key not in sweep_storage(now=old, delete=True).orphans
    assert default_storage.exists(key)
    default_storage.delete(key)
