"""Events are sealed once nothing can slip between them, and the chain names what somebody changed afterwards."""

import threading
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit import sealing, signing
from audit.models import Event, Seal, SealingLimit
from audit.services import record
from audit.verification import SignedHead, verify_chain
from tests.audit.sealed import cut, run, seal, tamper, told, write_chain_again, write_events

FIELDS = (
    *("at", "action", "actor_kind", "actor_id", "actor_label", "impersonator_id", "impersonator_label"),
    *("organisation_id", "organisation_label", "subject_kind", "subject_id", "subject_label"),
    *("before", "after", "address", "request_id"),
)
NASTY = "tab\t, line\n, return\r, backslash \\ and \\N, bell \a, \b\f\v, é, 🦉, ' and \""


@pytest.fixture
def sealed(db, monkeypatch) -> list[int]:
    """Twelve events in four seals of three."""
    monkeypatch.setattr(sealing, "EVENTS_IN_A_SEAL", 3)
    events = write_events(12)
    assert seal() == 12
    return events


def head(number: int, where: str = "audit/a.json", **values) -> SignedHead:
    digest = Seal.objects.get(number=number).hash
    return SignedHead(
        **{"number": number, "hash": digest, "at": datetime(2026, 12, 1, tzinfo=UTC), "where": where, **values}
    )


def test_a_whole_chain_is_counted(sealed):
    write_events(2)
    found = verify_chain([head(2)])
    assert (found.events, found.seals, found.unsealed, found.signed) == (12, 4, 2, head(2))
    assert seal() == 2
    assert (verify_chain([]).seals, verify_chain([]).unsealed, seal()) == (5, 0, 0)


def test_an_empty_log_is_whole(db):
    assert seal() == 0
    found = verify_chain([])
    assert (found.events, found.seals, found.unsealed) == (0, 0, 0)


@pytest.mark.django_db
def test_sealing_and_checking_write_every_value_alike():
    Event.objects.create(action=NASTY[:80], actor_kind="person", actor_label=NASTY, before=None, after=None)
    Event.objects.create(
        action="thing.done",
        actor_kind="key",
        actor_id=2**63 - 1,
        actor_label=NASTY,
        impersonator_id=-1,
        impersonator_label="\\N",
        organisation_id=7,
        organisation_label=NASTY,
        subject_kind="thing",
        subject_id=8,
        subject_label=NASTY,
        before={"text": NASTY, "list": [1, 1.10, 1e300, True, None], "": {}},
        after=[NASTY, "\\u0001"],
        address="2001:db8::1",
        request_id="x" * 36,
    )
    Event.objects.create(action="", actor_kind="system", actor_label="", address="203.0.113.7", after="")
    Event.objects.create(action="a", actor_kind="system", actor_label="", at=datetime(1, 1, 1, tzinfo=UTC))
    Event.objects.create(
        action="a", actor_kind="system", actor_label="", at=datetime(2026, 1, 1, 1, 2, 3, 4, tzinfo=UTC)
    )
    assert seal() == 5
    assert verify_chain([]).events == 5


@pytest.mark.parametrize("field", FIELDS)
def test_a_change_of_any_column_is_found(sealed, field):
    other = {"at": "at + interval '1 microsecond'", "before": "'1'", "after": "'1'", "address": "'::1'"}
    value = other.get(field, "7" if field.endswith("_id") and field != "request_id" else "'else'")
    tamper(f"UPDATE audit_event SET {field} = {value} WHERE id = {sealed[4]}")
    assert told() == f"Seal 2: event {sealed[4]} was changed."


def test_every_column_of_events_is_sealed():
    assert {"pk", *FIELDS} == {"pk", *(field.attname for field in Event._meta.concrete_fields)} - {"id"}
    assert len(sealing.COLUMNS) == len(FIELDS) + 1


def test_a_removed_event_is_found(sealed):
    tamper(f"DELETE FROM audit_event WHERE id IN ({sealed[5]}, {sealed[9]})")
    assert told() == f"Seal 2: event {sealed[5]} was removed."


def test_an_added_event_is_found(db):
    write_events(1)
    with transaction.atomic():
        gap = record("thing.undone", by=None).pk  # an id that is never used
        transaction.set_rollback(True)
    write_events(1)
    seal()
    Event.objects.create(pk=gap, action="thing.done", actor_kind="system", actor_label="Studio")
    assert told() == f"Seal 1: event {gap} was added after the events before and after it were sealed."


@pytest.mark.parametrize("pk", [5, 0, -1, -(2**63)])
def test_an_event_added_below_the_first_one_is_found(db, pk):
    Event.objects.create(pk=10**9, action="thing.done", actor_kind="system", actor_label="Studio")
    seal()
    Event.objects.create(pk=pk, action="thing.done", actor_kind="system", actor_label="Studio")
    assert told() == f"Seal 1: event {pk} was added after the events before and after it were sealed."


@pytest.mark.parametrize("pair", [(1, 2), (1, 10)])
def test_two_swapped_events_are_found(sealed, pair):
    one, other = (sealed[at] for at in pair)
    tamper(
        f"UPDATE audit_event SET id = 0 WHERE id = {one}",
        f"UPDATE audit_event SET id = {one} WHERE id = {other}",
        f"UPDATE audit_event SET id = {other} WHERE id = 0",
    )
    assert told() == f"Seal 1: event {one} was changed: it has the content of event {other}."


def test_an_event_that_is_there_twice_is_found(sealed):
    run("ALTER TABLE audit_event DROP CONSTRAINT audit_event_pkey")
    run(f"INSERT INTO audit_event SELECT * FROM audit_event WHERE id = {sealed[7]}")
    assert told() == f"Seal 3: event {sealed[7]} is there twice."


@pytest.mark.parametrize(
    ("column", "value"),
    [("first_event", "0"), ("count", "2"), ("sealed_at", "now()"), ("hash", f"'{'0' * 64}'"), ("leaves", "'\\x00'")],
)
def test_a_changed_seal_is_found(sealed, column, value):
    tamper(f"UPDATE audit_seal SET {column} = {value} WHERE number = 3")
    assert told() == "Seal 3 was changed: its hash does not follow from it and from the seal before."


def test_a_removed_seal_is_found(sealed):
    tamper("DELETE FROM audit_seal WHERE number = 2")
    assert told() == "Seal 2 is missing: seal 3 follows on seal 1."


def test_a_chain_written_again_without_the_key_is_found(sealed):
    tamper(f"UPDATE audit_event SET action = 'thing.undone' WHERE id = {sealed[4]}")
    write_chain_again()
    assert told().startswith("Seal 1 was signed with the unknown key ")

    write_chain_again(says_key=signing.id_of(signing.public_keys()[0]))
    assert told() == "Seal 1 was not signed by Studio: the chain was written again from there, without the key."


def test_a_chain_that_studio_was_made_to_seal_again_is_found(sealed):
    """The owner of the tables cuts the chain, changes events, and Studio seals what it finds, with its key."""
    signed = [head(1, "audit/a.json"), head(3, "audit/b.json")]
    cut(1)
    tamper(f"UPDATE audit_event SET action = 'thing.undone' WHERE id = {sealed[4]}")
    assert told(signed) == (
        "Seal 2 is missing: the chain ends with seal 1, and audit/b.json, signed 2026-12-01 00:00 UTC, has seal 3. "
        "The chain was cut, or a backup was put back without manage.py reapply_purges."
    )
    assert seal() == 9
    assert told() == ""
    assert told(signed) == (
        "Seal 3 is another one than audit/b.json says, signed 2026-12-01 00:00 UTC: the chain was cut and written "
        "again after seal 1."
    )


def test_a_chain_that_was_cut_whole_is_found(sealed):
    signed = [head(4)]
    cut(0)
    tamper("DELETE FROM audit_event")
    assert told(signed).startswith("Seal 1 is missing: the chain ends with seal 0")


def test_two_heads_of_one_number_are_found(sealed):
    other = head(4, "audit/b.json", hash="0" * 64)
    assert told([head(4), other]) == (
        "Seal 4 was signed twice with different content, in audit/a.json and in audit/b.json: the chain was cut and "
        "written again."
    )


def test_a_restore_ends_the_heads_of_seals_that_the_backup_lacks_and_no_others(sealed):
    signed = [head(1), head(4)]
    cut(2)
    restored = head(2, "audit/restored.json", is_restore=True)
    assert told([*signed, restored]) == ""
    assert verify_chain([*signed, restored]).restores == [restored]
    tamper("UPDATE audit_event SET action = 'thing.undone'")
    write_chain_again(signing.private_key(), says_key=signing.id_of(signing.public_keys()[0]))
    assert told([*signed, restored]).startswith("Seal 1 is another one than audit/a.json says")


def test_a_replaced_key_keeps_the_chain(sealed, settings):
    public = signing.as_pem(signing.public_keys()).splitlines()[1]
    settings.SIGNING_KEY = "bmV4dG5leHRuZXh0bmV4dG5leHRuZXh0bmV4dG5leHQ="
    write_events(1)
    seal()
    assert told().startswith("Seal 1 was signed with the unknown key ")
    settings.SIGNING_PUBLIC_KEYS = [public]
    assert told() == ""


def test_a_seal_cannot_be_changed_or_deleted(sealed):
    with pytest.raises(IntegrityError, match="append-only: UPDATE refused"), transaction.atomic():
        Seal.objects.update(count=1)
    with pytest.raises(IntegrityError, match="append-only: DELETE refused"), transaction.atomic():
        Seal.objects.all().delete()


# -- What commits late ---------------------------------------------------------------------------


class Writer:
    """Another process that writes an event in a transaction of its own, until it is told to end it."""

    def __init__(self) -> None:
        self.has_written, self.can_end = threading.Event(), threading.Event()
        self.rolls_back = False
        self.thread = threading.Thread(target=self.write)
        self.thread.start()
        assert self.has_written.wait(10)

    def write(self) -> None:
        try:
            with transaction.atomic():
                self.pk = record("thing.late", by=None).pk
                self.has_written.set()
                self.can_end.wait(30)
                transaction.set_rollback(self.rolls_back)
        finally:
            connection.close()

    def end(self, *, rolls_back: bool = False) -> None:
        self.rolls_back = rolls_back
        self.can_end.set()
        self.thread.join(30)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rolls_back", [False, True])
def test_what_commits_late_is_waited_for_and_sealed(rolls_back):
    late = Writer()
    (early,) = write_events(1)
    assert (late.pk < early, seal(), seal()) == (True, 0, 0)

    later = Writer()  # and is not waited for, as its id is larger
    late.end(rolls_back=rolls_back)
    assert seal() == (1 if rolls_back else 2)
    assert Seal.objects.get().last_event == early
    assert verify_chain([]).unsealed == 0
    later.end()
    assert (seal(), told()) == (1, "")


@pytest.mark.django_db(transaction=True)
def test_writers_that_always_overlap_hold_nothing_up():
    before = Writer()
    for turn in range(4):
        after = Writer()
        before.end()
        assert seal() == (1 if turn else 0)
        before = after
    before.end()
    assert told() == ""
    assert (seal(), verify_chain([]).unsealed) == (2, 0)


@pytest.mark.django_db(transaction=True)
def test_two_processes_that_seal_at_once_seal_each_event_once():
    write_events(7)
    threads = [threading.Thread(target=seal_and_close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (Seal.objects.count(), SealingLimit.objects.count(), verify_chain([]).events) == (1, 1, 7)


def seal_and_close() -> None:
    try:
        sealing.seal_events(now=timezone.now())
    finally:
        connection.close()
