"""After a restore, what was deleted is gone again whichever way its run ended, and nothing else is."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, connections
from django.utils import timezone

from archival import journal
from archival.choices import DeletionState, RunState
from archival.deletion import ask_for_deletion, delete_some, stop_deletion
from archival.holds import place_hold
from archival.models import PurgeRun
from archival.purge import Limits, close, delete_due, find_due, purge
from archival.readiness import readiness
from archival.reapply import reapply
from archival.services import change_retention
from conversations.models import Conversation
from environments.choices import Archival
from tests.archival import oracle
from tests.archival.limits import archive_after
from tests.archival.restoring import backup
from tests.factories import contact, conversation, environment, member, organisation

pytestmark = pytest.mark.django_db(transaction=True)
SMALL = Limits(conversations=1, messages=3, per_conversation=3, contacts=1)


@pytest.fixture
def now():
    return timezone.now()


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
    change_retention(acme, archival=Archival.KEEP, days=None, by=None, now=now)


def rows():
    """Return what is there, without what a reapplied run writes of itself."""
    return replace(oracle.present(), receipts={}, oldest={})


def restored_and_reapplied(taken, client, *, now):
    """Put the backup back, do again what the journal tells, and return what is then there."""
    taken.restore()
    assert client.get("/readyz").status_code == 503
    planned = reapply(now=now, dry_run=True)
    done = reapply(now=now)
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
        place_hold(acme, reason="dispute", by=None, now=now)
        left = rows()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_what_was_held_when_the_run_came_stays_though_the_hold_is_over_by_now(client, acme, now):
    other = archive_after(environment(slug="other"), 30)
    conversation(of=other, days_ago=31, now=now)
    place_hold(acme, reason="dispute", until=now + timedelta(hours=2), by=None, now=now)
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
        close(run, state=RunState.DONE)
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
        deletion = ask_for_deletion(acme, by=member(acme, email="ada@acme.test"), now=now)
        assert delete_some(deletion, now=now)
        stop_deletion(deletion, by=deletion.requested_by, now=now)
        deletion.refresh_from_db()
        assert deletion.state == DeletionState.STOPPED
        left = rows()
        assert left.messages
        journal.write()
        assert restored_and_reapplied(taken, client, now=now + timedelta(hours=1)) == left


def test_what_fails_in_one_environment_is_named_and_the_others_are_done_again(acme, now):
    other = archive_after(environment(slug="other"), 30)
    gone = conversation(of=other, days_ago=31, now=now)
    with backup() as taken:
        purge(now=now, sleep_ratio=0)
        taken.restore()
        let_fail("conversations_conversation", of=acme)
        (refused,) = reapply(now=now).refused
    assert "acme" in refused.split(": ")
    assert not Conversation.objects.filter(pk=gone.pk).exists()


def test_a_run_that_looked_everywhere_is_one_entry_whatever_number_of_batches_it_had(acme, now):
    before = journal.known_sequence()
    purge(now=now, sleep_ratio=0, limits=SMALL)
    assert journal.known_sequence() == before + 1
    run = PurgeRun.objects.create(as_of=now + timedelta(days=30))
    for _ in delete_due(run, find_due(now=run.as_of).environments, limits=SMALL):
        pass
    journal.write()
    close(run, state=RunState.INTERRUPTED)
    assert journal.known_sequence() > before + 2
