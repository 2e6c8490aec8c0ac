"""After a restore, what was deleted is gone again whichever way its run ended, and nothing else is."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from django.db import DatabaseError, connection, connections

from archival.choices import DeletionState, JournalKind, RunState
from archival.engine.run import Limits, close_run, delete_due, find_due, purge
from archival.holds.services import place_hold
from archival.journal import entries as journal
from archival.models import JournalEntry, PurgeRun
from archival.policy.services import change_retention
from archival.requests.deletion import delete_one_batch, request_deletion, stop_deletion
from archival.restore.readiness import readiness
from archival.restore.reapply import reapply_journal
from conversations.models import Conversation, Message
from environments.caller import SYSTEM, Caller
from environments.policies.retention import Retention
from tests.archival import oracle
from tests.archival.limits import archive_after
from tests.archival.restoring import backup
from tests.factories import contact, conversation, environment, member, organisation

pytestmark = pytest.mark.django_db(transaction=True)
SMALL = Limits(conversations=1, messages=3, per_conversation=3, contacts=1)


@pytest.fixture
def acme(now):
    acme = archive_after(environment(slug="acme", parent=organisation(slug="agency")), 30)
    conversation(of=acme, days_ago=[90, 80, 70, 60, 50, 1], now=now)
    for age in (45, 44, 43, 2):
        conversation(of=acme, days_ago=age, now=now)
    for age in (100, 99):
        contact(of=acme, days_ago=age, now=now)
    return acme


def lift(acme, now):
    """Keep everything from now on: what has not been deleted by now is readable."""
    change_retention(acme, to=Retention.keep(), by=SYSTEM, now=now)


def rows():
    """Return what is there, without what a reapplied run writes of itself."""
    return replace(oracle.present(), receipts={}, oldest={})


def restored_and_reapplied(taken, client, *, now):
    """Put the backup back, do again what the journal tells, and return what is then there."""
    taken.restore()
    assert client.get("/readyz").status_code == 503
    planned = reapply_journal(now=now, dry_run=True)
    done = reapply_journal(now=now)
    assert (planned.counts, done.refused) == (done.counts, [])
    readiness.forget()
    assert client.get("/readyz").status_code == 200
    return rows()


def let_fail(table, *, code="restrict_violation", of=None):
    """Let each deletion of such a row fail, of one environment or of all."""
    when = f"WHEN (OLD.environment_id = {of.pk})" if of else ""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE 'full' USING ERRCODE = '{code}'; END $$"
        )
        cursor.execute(f"CREATE TRIGGER fail BEFORE DELETE ON {table} FOR EACH ROW {when} EXECUTE FUNCTION fail()")


@pytest.mark.parametrize("batches", [1, 2, 4, 7])
def test_what_a_killed_run_deleted_goes_again_and_what_it_did_not_stays(client, acme, now, batches):
    with backup() as taken:
        run = PurgeRun.objects.create(as_of=now)
        going = delete_due(run, find_due(now=now).environments, limits=SMALL)
        for _ in range(batches):  # and then its process is gone
            next(going)
        lift(acme, now)
        left = rows()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_what_a_failed_run_deleted_goes_again_and_what_it_did_not_stays(client, acme, now):
    with backup() as taken:
        let_fail("conversations_contact", code="disk_full")
        with pytest.raises(DatabaseError):
            purge(now=now, sleep_ratio=0, limits=SMALL)
        assert PurgeRun.objects.get().state == RunState.FAILED
        lift(acme, now)
        left = rows()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_what_a_run_deleted_where_it_then_failed_goes_again_and_the_rest_stays(client, acme, now):
    other = archive_after(environment(slug="other"), 30)
    conversation(of=other, days_ago=31, now=now)
    with backup() as taken:
        let_fail("conversations_contact", of=acme)
        run = purge(now=now, sleep_ratio=0, limits=SMALL)
        assert (run.state, "acme" in run.alarm) == (RunState.DONE, True)
        lift(acme, now)
        left = rows()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_what_a_run_deleted_before_it_reached_its_maximum_goes_again_and_the_rest_stays(client, acme, now, settings):
    settings.PURGE_LIMIT_PER_ENVIRONMENT = 4
    with backup() as taken:
        run = purge(now=now, sleep_ratio=0, limits=SMALL)
        assert run.receipts.get().is_guarded
        lift(acme, now)
        left = rows()
        assert len(left.messages) > 3
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_what_was_purged_before_a_hold_was_placed_does_not_come_back_with_it(client, acme, now):
    with backup() as taken:
        purge(now=now, sleep_ratio=0)
        place_hold(acme, reason="dispute", by=SYSTEM, now=now)
        left = rows()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_what_was_held_when_the_run_came_stays_though_the_hold_is_over_by_now(client, acme, now):
    other = archive_after(environment(slug="other"), 30)
    conversation(of=other, days_ago=31, now=now)
    place_hold(acme, reason="dispute", until=now + timedelta(hours=2), by=SYSTEM, now=now)
    with backup() as taken:
        purge(now=now, sleep_ratio=0)
        lift(acme, now)
        left = rows()
        assert restored_and_reapplied(taken, client, now=now + timedelta(days=2)) == left


def test_what_a_run_left_since_its_limit_was_lifted_meanwhile_stays(client, acme, now):
    with backup() as taken:
        run = PurgeRun.objects.create(as_of=now)
        going = delete_due(run, find_due(now=now).environments, limits=SMALL)
        next(going)
        lift(acme, now)
        assert not list(going)
        close_run(run, state=RunState.DONE)
        left = rows()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_what_a_run_left_since_somebody_else_had_it_stays_if_no_other_came(client, acme, now):
    talking = Conversation.objects.filter(environment=acme).earliest("pk")
    with backup() as taken:
        other = connections["default"].copy()
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT FROM conversations_conversation WHERE id = %s FOR UPDATE", [talking.pk])
            assert purge(now=now, sleep_ratio=0).state == RunState.DONE
        other.close()
        assert talking.messages.count() == 6
        lift(acme, now)
        left = rows()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_what_a_deletion_deleted_before_it_was_stopped_goes_again_and_the_rest_stays(client, acme, now):
    conversation(of=acme, days_ago=[number / 1000 for number in range(2500)], now=now)
    with backup() as taken:
        deletion = request_deletion(acme, by=Caller.of(member(acme, email="ada@acme.test")), now=now)
        assert delete_one_batch(deletion, now=now)
        stop_deletion(deletion, by=Caller.of(deletion.requested_by), now=now)
        deletion.refresh_from_db()
        assert deletion.state == DeletionState.STOPPED
        left = rows()
        assert left.messages
        journal.write_entries()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_what_fails_in_one_environment_is_named_and_the_others_are_done_again(acme, now):
    other = archive_after(environment(slug="other"), 30)
    gone = conversation(of=other, days_ago=31, now=now)
    with backup() as taken:
        purge(now=now, sleep_ratio=0)
        taken.restore()
        let_fail("conversations_conversation", of=acme)
        (refused,) = reapply_journal(now=now).refused
    assert "acme" in refused.split(": ")
    assert not Conversation.objects.filter(pk=gone.pk).exists()


@pytest.fixture
def crowded(acme, now):
    """A conversation with messages of one same instant, which lie in the table in no order, among older and younger."""
    made = conversation(of=acme, days_ago=[95, 94, *[50] * 40, 40, 40, 1], now=now)
    lying = list(Message.objects.filter(conversation=made))
    Message.objects.filter(conversation=made).delete()
    shuffled = Random(8).sample(lying, k=len(lying))
    Message.objects.bulk_create(shuffled)
    return made


@pytest.mark.parametrize("batches", [1, 2, 4, 5])
def test_a_run_killed_among_messages_of_one_instant_deletes_the_same_ones_again(client, acme, crowded, now, batches):
    limits = Limits(conversations=2, messages=9, per_conversation=7)
    with backup() as taken:
        run = PurgeRun.objects.create(as_of=now)
        going = delete_due(run, find_due(now=now).environments, limits=limits)
        for _ in range(batches):  # and then its process is gone
            next(going)
        assert crowded.messages.count() not in {0, 1, 45}
        lift(acme, now)
        left = rows()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_a_run_killed_among_thousands_of_one_instant_deletes_the_same_ones_again_after_each_backup(client, acme, now):
    made = conversation(of=acme, days_ago=[200] * 3500, now=now)
    run = PurgeRun.objects.create(as_of=now)
    going = delete_due(run, find_due(now=now).environments, limits=Limits())
    next(going)
    journal.write_entries()
    with backup() as taken:
        next(going)
        next(going)
        lift(acme, now)
        assert made.messages.count() == 500
        left = rows()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_a_deletion_stopped_among_messages_of_one_instant_deletes_the_same_ones_again(client, acme, now):
    archive_after(acme, None)
    conversation(of=acme, days_ago=[7] * 2500, now=now)
    with backup() as taken:
        deletion = request_deletion(acme, by=Caller.of(member(acme, email="ada@acme.test")), now=now)
        assert delete_one_batch(deletion, now=now)
        stop_deletion(deletion, by=Caller.of(deletion.requested_by), now=now)
        left = rows()
        assert 0 < len(left.messages) < 2500
        journal.write_entries()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_what_is_held_by_now_but_was_not_then_goes_again_also_where_an_instant_went_in_parts(
    client, acme, crowded, now
):
    with backup() as taken:
        run = PurgeRun.objects.create(as_of=now)
        going = delete_due(run, find_due(now=now).environments, limits=Limits(messages=9, per_conversation=7))
        next(going)
        next(going)
        place_hold(acme, reason="dispute", conversation=crowded, by=SYSTEM, now=now)
        left = rows()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_a_journal_of_an_older_release_is_read_as_it_was_then(acme, crowded, now):
    """It tells of an instant that went in parts by the instant alone: none of its messages goes again."""
    with backup() as taken:
        run = PurgeRun.objects.create(as_of=now)
        going = delete_due(run, find_due(now=now).environments, limits=Limits(messages=9, per_conversation=7))
        next(going)
        next(going)
        for entry in JournalEntry.objects.filter(kind=JournalKind.BATCH, sequence=None):
            for each in entry.payload["environments"]:
                del each["parts"]
            entry.save(update_fields=["payload"])
        journal.write_entries()
        taken.restore()
        assert reapply_journal(now=now).refused == []
        assert crowded.messages.count() == 43


def test_numbers_of_messages_are_stored_in_ranges_and_only_where_something_too_old_is_left(acme, now):
    cut = conversation(of=acme, days_ago=[200] * 1500, now=now)
    run = PurgeRun.objects.create(as_of=now)
    next(delete_due(run, find_due(now=now).environments, limits=Limits()))
    ((told,),) = JournalEntry.objects.filter(sequence=None).values_list("payload__environments", flat=True)
    assert told["parts"] == {str(cut.pk): [[0, 999]]}
    assert len(told["left"]) == 2
    assert journal.ranges_of("{7,3,1,2,9,10}") == [(1, 3), (7, 7), (9, 10)]


def test_a_run_that_looked_everywhere_is_one_entry_whatever_number_of_batches_it_had(acme, now):
    before = journal.known_sequence()
    purge(now=now, sleep_ratio=0, limits=SMALL)
    assert journal.known_sequence() == before + 1
    run = PurgeRun.objects.create(as_of=now + timedelta(days=30))
    for _ in delete_due(run, find_due(now=run.as_of).environments, limits=SMALL):
        pass
    journal.write_entries()
    close_run(run, state=RunState.INTERRUPTED)
    assert journal.known_sequence() > before + 2
