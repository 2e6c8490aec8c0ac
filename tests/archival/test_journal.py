"""A journal that is not whole: what is missing, twice, or put there by somebody else."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from archival.choices import RunState
from archival.engine.run import Limits, close_run, delete_due, find_due
from archival.journal import entries as journal
from archival.journal.receipt_file import NotAuthentic
from archival.models import Erasure, JournalEntry, PurgeRun
from archival.requests.erasure import erase_contact
from archival.restore.reapply import reapply_journal
from conversations.models import Contact
from environments.caller import SYSTEM
from tests.archival.connections import run_aside, wait_until_waiting
from tests.archival.limits import archive_after
from tests.archival.restoring import backup
from tests.factories import conversation, environment

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Lost:
    """Three contacts that were erased after the backup which is in place by now, and the journal's three files."""

    contacts: list[Contact]
    files: list[Path]


@pytest.fixture
def lost():
    now, acme = timezone.now(), environment(slug="acme")
    contacts = [conversation(of=acme, days_ago=1, now=now).contact for _ in range(3)]
    with backup() as taken:
        for each in contacts:
            erase_contact(each, by=SYSTEM, now=now)
        taken.restore()
        yield Lost(contacts, sorted(Path(storages["journal"].location).rglob("*.json")))


def test_a_file_that_is_missing_in_the_middle_is_said_and_the_others_are_done_again(lost, capsys):
    lost.files[1].unlink()

    with pytest.raises(CommandError, match="1 entry could not"):
        call_command("reapply_purges")

    assert "Not repeated: 2: its file is missing" in capsys.readouterr().err
    assert list(Contact.objects.all()) == [lost.contacts[1]]
    assert not journal.database_is_older()


def test_a_journal_that_knows_less_than_the_database_is_not_called_complete(lost, capsys):
    reapply_journal(now=timezone.now())
    for file in Path(storages["journal"].location).rglob("*.json"):
        file.unlink()

    with pytest.raises(CommandError):
        call_command("reapply_purges")

    told = capsys.readouterr()
    assert f"the journal ends with 0, but this database has {journal.known_sequence()}" in told.err
    assert "nothing to repeat" not in told.out


def test_a_file_under_a_later_number_is_another_than_its_name_says(lost):
    later = lost.files[0].with_name("000000000009" + lost.files[0].name[12:])
    later.write_bytes(lost.files[0].read_bytes())

    with pytest.raises(NotAuthentic, match="belongs to another file name"):
        reapply_journal(now=timezone.now())

    assert Contact.objects.count() == 3


def test_a_file_that_is_no_text_is_named(lost):
    lost.files[0].write_bytes(b"\xff\xfe")

    words = "not signed by this Studio, so nothing was changed"
    with pytest.raises(CommandError, match=f"{words}. 000000000/{lost.files[0].name}"):
        call_command("reapply_purges")


def test_what_lies_beside_the_journals_files_does_not_stop_the_purge(lost):
    for name in ("zz", ".DS_Store", f"{lost.files[2].name}~"):
        (lost.files[0].parent / name).write_text("of somebody else")
    (lost.files[0].parent.parent / "lost+found").mkdir()

    assert journal.database_is_older()
    assert reapply_journal(now=timezone.now()).entries == 3
    assert not journal.database_is_older()


def test_an_entry_of_a_later_release_is_said_and_not_passed_over(lost, capsys):
    entry = JournalEntry(kind="later", payload={}, at=timezone.now())
    journal.write_file(4, entry)

    with pytest.raises(CommandError, match="1 entry could not"):
        call_command("reapply_purges")

    assert "Not repeated: 4 (later, " in capsys.readouterr().err
    assert not Contact.objects.exists()
    assert not journal.database_is_older()


@pytest.fixture
def almost_done():
    """A run whose only batch waits to be told, and which comes to its end next."""
    now, acme = timezone.now(), archive_after(environment(slug="acme"), 30)
    conversation(of=acme, days_ago=31, now=now)
    run = PurgeRun.objects.create(as_of=now)
    for _ in delete_due(run, find_due(now=now).environments, limits=Limits()):
        pass
    return run


def test_a_run_that_ends_drops_no_entry_of_which_a_crash_has_left_a_file(almost_done):
    entry = JournalEntry.objects.filter(sequence=None).latest("pk")
    journal.write_file(journal.known_sequence() + 1, entry)  # and then the writer is gone

    close_run(almost_done, state=RunState.DONE)

    assert not journal.database_is_older()
    assert not JournalEntry.objects.filter(sequence=None).exists()


def test_a_run_that_ends_drops_no_entry_that_somebody_is_writing(almost_done):
    entry = JournalEntry.objects.filter(sequence=None).latest("pk")
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():  # what a writer does, with a run that ends in the middle
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [journal.JOURNAL_LOCK])
            ending = run_aside(pool, lambda: close_run(almost_done, state=RunState.DONE))
            wait_until_waiting()
            journal.write_file(journal.known_sequence() + 1, entry)
            entry.sequence, entry.payload = journal.known_sequence() + 1, None
            entry.save(update_fields=["sequence", "payload"])
        ending.result()

    assert not journal.database_is_older()
    assert not JournalEntry.objects.filter(sequence=None).exists()


def test_an_entry_that_got_another_number_after_a_crash_is_done_again_once():
    now, acme = timezone.now(), environment(slug="acme")
    first, second = (conversation(of=acme, days_ago=1, now=now).contact for _ in range(2))
    with backup() as taken:
        with transaction.atomic():
            erase_contact(first, by=SYSTEM, now=now)
            erase_contact(second, by=SYSTEM, now=now)
            connection.run_on_commit = []  # both wait to be written
        earlier, later = JournalEntry.objects.order_by("pk")
        journal.write_file(
            1, later
        )  # its transaction never stood: an earlier one committed meanwhile, and took the number
        journal.write_entries()
        taken.restore()

        found = reapply_journal(now=now)

        assert (found.entries, found.refused) == (2, [])
        assert Erasure.objects.count() == 2
        assert JournalEntry.objects.get(sequence=1).uuid == earlier.uuid
        assert JournalEntry.objects.get(sequence=2).uuid == later.uuid
        assert not journal.database_is_older()
