"""The journal of purges in the bucket: a real server process, asked over HTTP, also while it is down."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.utils import timezone

from archival import tasks
from archival.choices import JournalKind
from archival.files.sweep import sweep_storage
from archival.journal import entries as journal
from archival.journal.receipt_file import NotAuthentic
from archival.models import Erasure, JournalEntry
from archival.requests.erasure import erase_contact
from archival.restore.readiness import READY_FOR, readiness
from archival.restore.reapply import reapply_journal
from conversations.models import Contact
from environments.caller import SYSTEM
from tests.archival.restoring import backup
from tests.archival.s3 import BUCKET
from tests.factories import conversation, environment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("s3")]


def erased(acme, now):
    return erase_contact(conversation(of=acme, now=now).contact, by=SYSTEM, now=now)


def test_an_erasure_is_a_signed_object_of_the_bucket_as_soon_as_it_stands(s3):
    now = timezone.now()
    erasure = erased(environment(slug="acme"), now)

    entry = JournalEntry.objects.get()
    assert s3.listed() == {f"journal/000000000/000000000001-{entry.uuid}.json"}
    (told,) = [journal.read_entry(name) for name in journal.file_names()]
    assert (told.kind, told.payload["contact"]) == (JournalKind.ERASURE, str(erasure.contact_uuid))
    assert (entry.payload, journal.database_is_older(), journal.missing_entries()) == (None, False, [])


def test_what_was_erased_since_the_backup_is_erased_again_and_the_web_waits_for_it(s3, client):
    now = timezone.now()
    acme = environment(slug="acme")
    whom = conversation(of=acme, now=now).contact
    erased(acme, now)  # the backup knows this one
    with backup() as taken:
        erase_contact(whom, by=SYSTEM, now=now)
        taken.restore()

        assert Contact.objects.filter(pk=whom.pk).exists()
        assert (client.get("/readyz").status_code, client.get("/login/").status_code) == (503, 503)
        assert (reapply_journal(now=now).done, reapply_journal(now=now).entries) == ({"erasure": 1}, 0)
        readiness.forget()
        assert client.get("/readyz").status_code == 200
    assert not Contact.objects.exists()
    assert Erasure.objects.count() == 2


def test_while_the_bucket_is_down_acts_stand_and_their_entries_wait(s3, client):
    now = timezone.now()
    acme = environment(slug="acme")
    assert client.get("/readyz").status_code == 200
    s3.stop()

    erased(acme, now)
    with pytest.raises(Exception, match="Could not connect"):
        tasks.write_journal()

    waiting = JournalEntry.objects.get()
    assert (waiting.sequence, Erasure.objects.count(), Contact.objects.count()) == (None, 1, 0)
    assert waiting.payload["contact"] == str(Erasure.objects.get().contact_uuid)
    readiness.known_until -= READY_FOR * 2
    assert client.get("/readyz").status_code == 200, "it was ready, and a database is put back with the web stopped"
    readiness.forget()
    assert client.get("/readyz").status_code == 503, "one that has just started cannot know"

    s3.start()
    tasks.write_journal()
    waiting.refresh_from_db()
    assert (waiting.sequence, waiting.payload, len(s3.listed())) == (1, None, 1)
    readiness.forget()
    assert client.get("/readyz").status_code == 200


@pytest.mark.faults
def test_more_objects_than_one_answer_lists_are_all_found_and_the_latest_is_the_latest(s3):
    now, count, lost = timezone.now(), 1_105, 150
    entries = [
        JournalEntry(
            sequence=number, at=now + timedelta(seconds=number), kind=JournalKind.CHANGE, payload={"n": number}
        )
        for number in range(1, count + 1)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda entry: journal.write_file(entry.sequence, entry), entries))
    JournalEntry.objects.bulk_create(entries)
    assert len(s3.listed()) == count
    assert (journal.database_is_older(), journal.missing_entries()) == (False, [])

    JournalEntry.objects.filter(sequence__gt=count - lost).delete()  # as in an older database

    assert journal.database_is_older()
    assert [told.payload["n"] for told in journal.missing_entries()] == list(range(count - lost + 1, count + 1))


def test_an_object_that_somebody_else_put_there_stops_everything(s3):
    now = timezone.now()
    erased(environment(slug="acme"), now)
    (key,) = s3.listed()
    forged = key.replace("000000000001-", "000000000002-").replace(key[-10:-5], "00000")
    s3.client.put_object(Bucket=BUCKET, Key=forged, Body=s3.read(key))

    assert journal.database_is_older()
    with pytest.raises(NotAuthentic, match="belongs to another file name"):
        reapply_journal(now=now)


def test_the_sweep_takes_nothing_of_the_journal_in_the_same_bucket(s3):
    erased(environment(slug="acme"), timezone.now())
    assert sweep_storage(now=timezone.now() + timedelta(hours=25), delete=True).orphans == []
    assert len(s3.listed()) == 1
