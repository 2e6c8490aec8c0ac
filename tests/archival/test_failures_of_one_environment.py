"""A failure in one environment is named and alarmed there; the others are purged, checked and reported as usual."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from archival.choices import ChangeState
from archival.engine.run import purge
from archival.evidence import alarms
from archival.evidence.proof import check_all_environments
from archival.journal import entries as journal
from archival.models import JournalEntry, PolicyChange, Proof, PurgeRun
from archival.policy.services import apply_due_changes, change_retention
from conversations.models import Contact, Conversation
from environments.caller import SYSTEM
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import apply_due_changes as apply_due_mfa_changes
from environments.policies.mfa_schedule import schedule_mfa
from environments.policies.retention import Retention
from tests.archival.limits import archive_after
from tests.factories import NOW, contact, conversation, environment, member, organisation

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
IMPOSSIBLE = ("0044-03-15 12:00:00+00 BC", "9999-12-31 23:59:59+00", "infinity", "-infinity")
CLOCKS = {
    "conversations_contact": ("created_at", "last_activity_at"),
    "conversations_conversation": ("created_at", "oldest_item_at", "last_activity_at"),
    "conversations_message": ("sent_at",),
    "conversations_conversationvariable": ("written_at",),
    "environments_organisation": ("created_at", "archival_since"),
}


def sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


@pytest.fixture
def one_and_other():
    """Two environments, each with something too old; something is wrong in the first."""
    one, other = (archive_after(environment(slug=slug), 30) for slug in ("one", "other"))
    for each in (one, other):
        conversation(of=each, days_ago=40, now=timezone.now())
    return one, other


def let_fail(table, condition):
    """Let every change of such a row fail, as a bug or a foreign trigger would."""
    sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'never' USING ERRCODE = 'restrict_violation'; END$$"
    )
    sql(
        f"CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW WHEN (OLD.{condition})"
        " EXECUTE FUNCTION refuse()"
    )


@pytest.mark.parametrize("instant", IMPOSSIBLE)
def test_no_clock_takes_an_instant_that_no_calendar_has(one_and_other, instant):
    for table, clocks in CLOCKS.items():
        for clock in clocks:
            with pytest.raises(DatabaseError), transaction.atomic():
                sql(f"UPDATE {table} SET {clock} = %s", instant)


def test_every_instant_that_decides_or_records_a_deletion_lies_in_the_calendar():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.table_name, c.column_name FROM information_schema.columns c WHERE c.table_schema = 'public'"
            " AND c.data_type IN ('timestamp with time zone', 'date')"
            " AND c.table_name ~ '^(conversations|archival|web|environments_(organisation|mfa[a-z]+))(_|$)'"
            " AND NOT EXISTS (SELECT FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid"
            " AND a.attnum = ANY(k.conkey) WHERE k.conrelid = to_regclass(c.table_name) AND k.contype = 'c'"
            " AND k.convalidated AND k.conname LIKE '%%_in_the_calendar' AND a.attname = c.column_name)"
        )
        assert cursor.fetchall() == []


@pytest.mark.parametrize("instant", IMPOSSIBLE)
def test_a_contact_that_no_calendar_knows_ends_neither_the_run_nor_the_proof_of_the_others(one_and_other, instant):
    one, _ = one_and_other
    strange = contact(of=one, days_ago=40)
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    sql("ALTER TABLE conversations_contact DROP CONSTRAINT IF EXISTS contact_is_in_the_calendar")
    sql("UPDATE conversations_contact SET last_activity_at = %s WHERE id = %s", instant, strange.pk)

    found = {
        (each.environment.slug, each.kind, each.state.value) for each in check_all_environments(now=timezone.now())
    }
    run = purge(now=timezone.now())

    assert ("other", "messages", "late") in found
    assert run.state == "done"
    assert not Conversation.objects.exists()
    is_old = instant.endswith("BC") or instant == "-infinity"
    assert Contact.objects.filter(pk=strange.pk).exists() != is_old
    if is_old:
        assert ("one", "contacts", "unreadable") in found


@pytest.mark.parametrize("table", ["conversations_conversation", "conversations_contact"])
def test_what_fails_in_one_environment_is_named_by_the_run_that_purges_the_others(one_and_other, table):
    one, _ = one_and_other
    let_fail(table, f"environment_id = {one.pk}")
    more = [archive_after(environment(), 30) for _ in range(5)]
    for each in more:
        conversation(of=each, days_ago=40, now=timezone.now())

    run = purge(now=timezone.now())

    assert run.state == "done"
    assert "one" in run.alarm.split()
    assert "other" not in run.alarm.split()
    assert set(Contact.objects.values_list("environment__slug", flat=True)) == {"one"}
    later = timezone.now() + timedelta(hours=2)
    assert {each.environment.slug for each in check_all_environments(now=later) if each.is_late} == {"one"}


def test_a_change_that_fails_leaves_the_others_to_act(caplog):
    now = timezone.now()
    changes = []
    for slug in ("one", "other"):
        acme = environment(slug=slug)
        conversation(of=acme, days_ago=40, now=now)
        changes.append(change_retention(acme, to=Retention.limit(30), by=SYSTEM, now=now))
    let_fail("archival_policychange", f"id = {changes[0].pk}")

    apply_due_changes(now=now + 25 * timedelta(hours=1))

    states = dict(PolicyChange.objects.values_list("organisation__slug", "state"))
    assert states == {"one": ChangeState.PENDING, "other": ChangeState.APPLIED}
    assert f"Change {changes[0].pk} of a limit is left out" in caplog.text


def test_a_requirement_that_fails_leaves_the_others_to_act():
    now = timezone.now()
    one, other = organisation(slug="one"), organisation(slug="other")
    change, _ = (schedule_mfa(each, to=MfaRule.on(), acts_at=now + DAY, by=SYSTEM, now=now) for each in (one, other))
    let_fail("environments_mfachange", f"id = {change.pk}")

    apply_due_mfa_changes(now=now + 2 * DAY)

    one.refresh_from_db()
    other.refresh_from_db()
    assert (one.require_mfa, other.require_mfa) == ("inherit", "on")


def test_an_entry_that_the_journal_cannot_take_leaves_the_others_to_be_written(django_capture_on_commit_callbacks):
    for slug in ("one", "other"):
        change_retention(environment(slug=slug), to=Retention.limit(30), by=SYSTEM, now=NOW)
    first, second = JournalEntry.objects.order_by("pk")
    let_fail("archival_journalentry", f"id = {first.pk}")

    journal.write_entries()

    assert list(JournalEntry.objects.filter(sequence=None)) == [first]
    assert JournalEntry.objects.filter(pk=second.pk, sequence__isnull=False).exists()


def test_a_mail_that_fails_leaves_the_findings_stored(one_and_other, caplog):
    member(organisation(), is_superuser=True, time_zone="Nowhere/Land")

    alarms.store_proof(now=timezone.now())

    assert Proof.objects.filter(is_late=True).count() == 2


def test_the_command_ends_with_the_names_of_what_it_left_out(one_and_other, capsys):
    one, _ = one_and_other
    let_fail("conversations_conversation", f"environment_id = {one.pk}")

    with pytest.raises(Exception, match="one"):
        call_command("purge")

    assert PurgeRun.objects.get().state == "done"
