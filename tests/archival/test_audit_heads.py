"""The head of the audit log's chain in the journal: written once a day, checked by ``verify_audit``."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.utils import timezone

from archival import tasks
from archival.journal import entries as journal
from archival.journal import heads, signing
from archival.journal.receipt_file import NotAuthentic
from archival.restore.reapply import reapply_journal
from audit.models import Seal
from tests.archival.restoring import backup
from tests.audit.sealed import cut, run, seal, tamper, write_events

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def files() -> list[Path]:
    return sorted(Path(storages["journal"].location, "audit").glob("*.json"))


def verify(capsys) -> str:
    """Return the last line of ``verify_audit``."""
    capsys.readouterr()
    call_command("verify_audit")
    return capsys.readouterr().out.splitlines()[-1]


def what_is_broken() -> str:
    with pytest.raises(CommandError) as raised:
        call_command("verify_audit")
    assert raised.value.returncode == 1
    return str(raised.value)


@pytest.mark.django_db
def test_the_head_is_written_once_a_day_and_says_what_is_whole(capsys):
    assert heads.write_daily_head(now=NOON) is False  # there is no seal yet
    assert verify(capsys) == "OK: 0 events in 0 seals, no head signed yet, 0 not sealed yet."
    write_events(3)
    seal()
    assert verify(capsys) == "OK: 3 events in 1 seals, no head signed yet, 0 not sealed yet."

    first = heads.write_daily_head(now=NOON)
    again = heads.write_daily_head(now=NOON.replace(hour=23))
    write_events(1)
    seal()
    next_day = heads.write_daily_head(now=NOON + DAY)
    assert (first, again, next_day) == (True, False, True)
    assert [head.number for head in heads.read_heads()] == [1, 2]

    write_events(2)
    name = "audit/20261202T120000000000Z-000000000002.json"
    assert verify(capsys) == (
        f"OK: 4 events in 2 seals, head 2 signed 2026-12-02 12:00 UTC ({name}), 2 not sealed yet."
    )


@pytest.mark.django_db
def test_the_task_seals_and_writes_the_head(capsys):
    write_events(2)
    tasks.seal_audit_log()
    tasks.seal_audit_log()
    assert (Seal.objects.get().count, len(files())) == (2, 1)
    assert verify(capsys).startswith("OK: 2 events in 1 seals, head 1 signed ")


@pytest.mark.django_db
def test_studio_does_not_seal_again_what_was_cut(caplog):
    write_events(2)
    tasks.seal_audit_log()
    cut(0)
    tamper("UPDATE audit_event SET action = 'thing.undone'")

    tasks.seal_audit_log()

    assert not Seal.objects.exists()
    assert heads.BEHIND in caplog.text
    assert what_is_broken().startswith(
        f"BROKEN: Seal 1 is missing: the chain ends with seal 0, and audit/{files()[0].name}"
    )


@pytest.mark.django_db
def test_a_chain_sealed_again_after_a_cut_is_named_by_the_command():
    write_events(2)
    seal()
    heads.write_daily_head(now=NOON)
    cut(0)
    tamper("UPDATE audit_event SET action = 'thing.undone'")
    seal()
    assert what_is_broken().startswith(f"BROKEN: Seal 1 is another one than audit/{files()[0].name} says")


@pytest.mark.django_db
def test_a_changed_event_is_named_by_the_command():
    events = write_events(2)
    seal()
    tamper(f"UPDATE audit_event SET actor_label = 'Mallory' WHERE id = {events[1]}")
    assert what_is_broken() == f"BROKEN: Seal 1: event {events[1]} was changed."


@pytest.fixture
def written(db) -> Path:
    write_events(1)
    seal()
    heads.write_daily_head(now=NOON)
    return files()[0]


def rewritten(file: Path, **values) -> str:
    """Return the document of a head as somebody writes it who can have Studio's key sign other files."""
    statement = json.loads(json.loads(file.read_text())["signed"])["audit_head"]
    return signing.sign({"audit_head": statement | values}, now=NOON)


def test_a_head_that_was_changed_is_refused(written):
    written.write_text(written.read_text().replace('seal\\": 1', 'seal\\": 2'))
    assert what_is_broken().startswith(f"BROKEN: audit/{written.name}: The signature does not match")


def test_a_head_under_another_name_is_refused(written):
    written.rename(written.with_name("20270101T000000000000Z-000000000001.json"))
    with pytest.raises(NotAuthentic, match="belongs to another file name"):
        list(heads.read_heads())


def test_another_signed_file_is_no_head(written):
    written.write_text(signing.sign({"receipts": []}, now=NOON))
    with pytest.raises(NotAuthentic, match="It is no head of the audit log"):
        list(heads.read_heads())


def test_what_the_secret_key_signs_is_no_head(written, settings, monkeypatch):
    """Receipts of an older release are checked by that key, and so whoever has it could else move the chain's end."""
    derived = signing.derived_key(settings.SECRET_KEY)
    monkeypatch.setattr("audit.signing.private_key", lambda: derived)
    forged = rewritten(written)
    monkeypatch.undo()
    written.write_text(forged)
    with pytest.raises(NotAuthentic, match="another key signed it"):
        list(heads.read_heads())


@pytest.mark.django_db
def test_rows_that_somebody_adds_to_the_journals_table_are_signed_but_are_no_heads():
    """Studio signs the entries that wait in the database: none of them ends up among the heads."""
    write_events(1)
    seal()
    heads.write_daily_head(now=NOON)
    payload = json.dumps({"audit_head": {"seal": 0, "hash": "", "at": NOON.isoformat(), "is_restore": True}})
    run(
        "INSERT INTO archival_journalentry (uuid, at, kind, payload)"
        f" VALUES (gen_random_uuid(), now(), 'audit_head', '{payload}')"
    )
    assert journal.write_entries() == 1
    tamper("DELETE FROM audit_event")
    cut(0)
    assert what_is_broken().startswith("BROKEN: Seal 1 is missing")


@pytest.mark.django_db(transaction=True)
def test_a_restored_backup_goes_on_and_is_named(capsys):
    now = timezone.now()
    write_events(2)
    seal()
    heads.write_daily_head(now=now - 2 * DAY)
    with backup() as taken:
        write_events(3)
        seal()
        heads.write_daily_head(now=now - DAY)
        taken.restore()
        assert what_is_broken().startswith("BROKEN: Seal 2 is missing: the chain ends with seal 1")
        write_events(1)
        tasks.seal_audit_log()
        assert Seal.objects.count() == 1, "nothing is sealed before the journal knows of the restore"

        reapply_journal(now=now, dry_run=True)
        assert len(files()) == 2
        reapply_journal(now=now)
        tasks.seal_audit_log()
        reapply_journal(now=now + DAY)

        assert (Seal.objects.count(), [head.is_restore for head in heads.read_heads()]) == (2, [False, False, True])
        call_command("verify_audit")
    told = capsys.readouterr().out.splitlines()
    assert told[-2] == f"Restored {now:%Y-%m-%d %H:%M} UTC: a backup was put back that ends with seal 1."
    assert told[-1].startswith("OK: 3 events in 2 seals, head 1 signed ")
