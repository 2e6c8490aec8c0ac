"""What goes and what stays, case by case; the oracle has the random ones."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from archival.choices import RunState
from archival.engine.run import Limits, close_dead_runs, delete_due, find_due, purge
from archival.files.outbox import delete_blobs
from archival.models import BlobToDelete, Guard, Hold, PurgeRun, Receipt
from archival.policy.services import change_retention
from audit.models import Event
from conversations.models import Attachment, Blob, Contact, Conversation, Message
from environments.caller import SYSTEM
from environments.policies.retention import Retention
from tests.archival.limits import archive_after
from tests.factories import NOW, attachment, contact, conversation, environment, organisation

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme"), 30)


def attach(to, blob, *, days_ago):
    return attachment(of=to, blob=blob, at=NOW - timedelta(days=days_ago), name="../../etc/passwd")


def stored(of, content=b"file"):
    key = default_storage.save(f"{of.pk}/file", ContentFile(content))
    return Blob.objects.create(environment=of, sha256=key, key=key, size=len(content), created_at=NOW)


def test_exactly_n_days_stays_and_a_microsecond_more_is_deleted(acme):
    for edge in (-1, 0, 1):
        conversation(of=acme, days_ago=30 + timedelta(microseconds=edge) / timedelta(days=1), external_id=f"{edge}")

    purge(now=NOW)

    assert set(Conversation.objects.values_list("external_id", flat=True)) == {"-1", "0"}


def test_a_day_is_24_hours_across_a_change_to_summer_time(acme):
    after_the_change = datetime(2026, 3, 30, 12, tzinfo=UTC)
    archive_after(acme, 2)
    kept = conversation(of=acme, days_ago=2, now=after_the_change)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE 'Europe/Amsterdam'")

    purge(now=after_the_change)

    assert list(Conversation.objects.all()) == [kept]


def test_environments_with_30_days_100_days_and_no_limit_each_keep_to_their_own(acme):
    hundred, forever = archive_after(environment(), 100), environment()
    ages = (10, 31, 101)
    made = {
        pk: [conversation(of=each, days_ago=age) for age in ages] for pk, each in enumerate([acme, hundred, forever])
    }

    run = purge(now=NOW)

    assert set(Conversation.objects.all()) == {made[0][0], *made[1][:2], *made[2]}
    counted = {receipt.environment: (receipt.conversations, receipt.messages) for receipt in run.receipts.all()}
    assert counted == {acme: (2, 2), hundred: (1, 1)}


def test_of_a_conversation_begun_200_days_ago_only_the_message_of_today_stays(acme):
    endless = conversation(of=acme, days_ago=[200, 100, 31, 29, 0])

    purge(now=NOW)

    endless.refresh_from_db()
    assert [message.sent_at for message in endless.messages.order_by("seq")] == [NOW - timedelta(days=29), NOW]
    assert endless.oldest_item_at == NOW - timedelta(days=29)
    assert Contact.objects.filter(pk=endless.contact_id).exists(), "an active contact keeps its profile"


def test_suspended_and_idle_environments_are_purged_too(acme):
    acme.suspended_at = NOW
    acme.save(update_fields=["suspended_at"])
    conversation(of=acme, days_ago=365)

    purge(now=NOW)

    assert Conversation.objects.count() == Message.objects.count() == Contact.objects.count() == 0


def test_a_second_purge_deletes_nothing_and_leaves_a_run_of_zero_rows(acme):
    conversation(of=acme, days_ago=31)

    first, second = purge(now=NOW), purge(now=NOW)

    assert (first.conversations, first.messages, first.variables, first.contacts) == (1, 1, 1, 1)
    assert (second.state, second.rows, second.receipts.count()) == (RunState.DONE, 0, 0)
    assert Event.objects.filter(action="purge.finished").count() == 1, "a run that deleted nothing is no event"


def test_a_giant_backlog_delays_no_other_environment(acme):
    for _ in range(30):
        conversation(of=acme, days_ago=300, variables=0)
    small = archive_after(environment(), 30)
    conversation(of=small, days_ago=31)
    run = PurgeRun.objects.create(as_of=NOW)

    batch = next(delete_due(run, find_due(now=NOW).environments, limits=Limits(conversations=4)))

    assert not Conversation.objects.filter(environment=small).exists()
    assert batch.tallies[acme.pk].counts["conversations"] == 2, "half of a batch for each of the two"


def test_a_batch_takes_no_more_than_its_limits(acme):
    made = [conversation(of=acme, days_ago=[40] * 9) for _ in range(5)]
    run = PurgeRun.objects.create(as_of=NOW)

    next(delete_due(run, [acme.pk], limits=Limits(conversations=4, messages=10, per_conversation=3)))

    left = [each.messages.count() for each in made]
    assert (sum(left), min(left), left.count(9)) == (5 * 9 - 10, 6, 1), "10 in all, 3 of each, 4 conversations"


@pytest.mark.parametrize("count", [1, 40])
def test_finding_nothing_to_do_is_one_query_for_any_number_of_environments(count, django_assert_num_queries):
    above = organisation()
    for _ in range(count):
        conversation(of=archive_after(environment(parent=above), 30), days_ago=1)
    with django_assert_num_queries(1):
        due = find_due(now=NOW)
    assert (due.environments, due.unreadable) == ([], [])


def drop_checks(cursor, named):
    """Take away the database's own refusal, to see that the purge has one too."""
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    cursor.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'environments_organisation'::regclass"
        " AND contype = 'c' AND conname LIKE %s",
        [f"%{named}%"],
    )
    for (name,) in cursor.fetchall():
        cursor.execute(f'ALTER TABLE environments_organisation DROP CONSTRAINT "{name}"')


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_a_policy_out_of_range_deletes_nothing_and_raises_an_alarm(acme, days):
    conversation(of=acme, days_ago=5000)
    with connection.cursor() as cursor:
        drop_checks(cursor, "effective")
        cursor.execute("UPDATE environments_organisation SET effective_archive_after_days = %s", [days])

    run = purge(now=NOW)

    assert (run.rows, Conversation.objects.count()) == (0, 1)
    assert str(acme.pk) in run.alarm


def test_an_environment_whose_parent_is_gone_keeps_everything_and_raises_an_alarm(acme):
    conversation(of=acme, days_ago=400)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE environments_organisation SET path = 'ZZZZ' || right(path, 4) WHERE id = %s", [acme.pk])

    run = purge(now=NOW)

    assert (run.rows, str(acme.pk) in run.alarm) == (0, True)


def test_an_unknown_setting_keeps_everything_and_raises_an_alarm(acme):
    conversation(of=acme, days_ago=400)
    with connection.cursor() as cursor:
        drop_checks(cursor, "archiv")
        drop_checks(cursor, "days")
        cursor.execute("UPDATE environments_organisation SET archival = '' WHERE id = %s", [acme.pk])

    run = purge(now=NOW)

    assert (run.rows, str(acme.pk) in run.alarm) == (0, True)


def test_the_kill_switch_leaves_a_paused_run_and_every_row(acme, settings):
    settings.PURGE_ENABLED = False
    conversation(of=acme, days_ago=31)

    run = purge(now=NOW)

    assert (run.state, run.rows, Conversation.objects.count()) == (RunState.PAUSED, 0, 1)


def test_an_environment_that_reaches_the_maximum_waits_for_a_person(acme, settings):
    settings.PURGE_LIMIT_PER_ENVIRONMENT = 6
    for _ in range(5):
        conversation(of=acme, days_ago=31)
    small = archive_after(environment(), 30)
    conversation(of=small, days_ago=31)

    first = purge(now=NOW, limits=Limits(conversations=2))
    second = purge(now=NOW, limits=Limits(conversations=2))

    assert first.receipts.get(environment=acme).is_guarded
    assert second.rows == 0
    assert not Conversation.objects.filter(environment=small).exists()
    assert 0 < Conversation.objects.filter(environment=acme).count() < 5

    Guard.objects.filter(environment=acme).update(confirmed_at=timezone.now())
    purge(now=NOW, limits=Limits(conversations=2))
    assert Conversation.objects.count() == 0


def test_without_a_wait_configure_asks_for_now_before_it_deletes(acme, settings):
    settings.COOLING_OFF_HOURS = 0
    conversation(of=acme, days_ago=31)
    with pytest.raises(CommandError, match="--now"):
        call_command("configure", acme.slug, "--archive-after-days", "29")
    acme.refresh_from_db()
    assert acme.archive_after_days == 30
    call_command("configure", acme.slug, "--archive-after-days", "29", "--now")
    acme.refresh_from_db()
    assert acme.archive_after_days == 29


def test_configure_now_confirms_what_it_deletes_before_a_run_gets_to_its_maximum(acme, settings):
    settings.PURGE_LIMIT_PER_ENVIRONMENT = 6
    for _ in range(5):
        conversation(of=acme, days_ago=31)

    call_command("configure", acme.slug, "--archive-after-days", "29", "--now")
    run = purge(now=NOW, limits=Limits(conversations=2))

    assert Conversation.objects.count() == 0
    assert not run.receipts.get().is_guarded


@pytest.mark.parametrize("covers", ["environment", "contact", "conversation"])
def test_what_is_held_stays_and_is_counted(acme, covers):
    held, other = conversation(of=acme, days_ago=31), conversation(of=acme, days_ago=31)
    target = {"contact": {"contact": held.contact}, "conversation": {"conversation": held}, "environment": {}}[covers]
    hold = Hold.objects.create(environment=acme, reason="Claims dispute", placed_at=NOW, **target)

    run = purge(now=NOW)

    stays = {held} | ({other} if covers == "environment" else set())
    assert set(Conversation.objects.all()) == stays
    assert run.held == run.receipts.get().held == len(stays)

    hold.released_at = NOW
    hold.save(update_fields=["released_at"])
    purge(now=NOW)
    assert Conversation.objects.count() == Contact.objects.count() == 0


@pytest.mark.parametrize("change", ["raised", "off", "held"])
def test_a_change_in_the_middle_of_a_run_counts_from_the_next_batch(acme, change):
    for _ in range(4):
        conversation(of=acme, days_ago=31)
    run = PurgeRun.objects.create(as_of=NOW)
    batches = delete_due(run, find_due(now=NOW).environments, limits=Limits(conversations=1))
    next(batches)
    match change:
        case "raised":
            change_retention(acme, to=Retention.limit(365), by=SYSTEM, now=NOW)
        case "off":
            change_retention(acme, to=Retention.keep(), by=SYSTEM, now=NOW)
        case "held":
            Hold.objects.create(environment=acme, reason="Claims dispute", placed_at=NOW)

    assert sum(tally.counts["conversations"] for batch in batches for tally in batch.tallies.values()) == 0

    assert Conversation.objects.count() == 3


def test_a_limit_lowered_in_the_middle_of_a_run_counts_from_the_next_batch(acme):
    conversation(of=acme, days_ago=31)
    conversation(of=acme, days_ago=11)
    run = PurgeRun.objects.create(as_of=NOW)
    batches = delete_due(run, find_due(now=NOW).environments, limits=Limits(conversations=1))
    next(batches)
    archive_after(acme, 10)

    list(batches)

    assert Conversation.objects.count() == 0


@pytest.mark.parametrize("days", [[30, 60], [60, 30]])
def test_a_receipt_has_the_strictest_limit_that_acted_whatever_came_after_it(acme, days):
    run = PurgeRun.objects.create(as_of=NOW)
    for each in days:
        archive_after(acme, each)
        conversation(of=acme, days_ago=70)
        list(delete_due(run, [acme.pk], limits=Limits()))

    receipt = run.receipts.get()

    assert (receipt.days, receipt.cutoff, receipt.conversations) == (30, NOW - timedelta(days=30), 2)


@pytest.mark.parametrize("young", ["message", "variable", "attachment"])
def test_a_bound_that_was_wrong_is_repaired_and_fails_no_batch(acme, young):
    wrong = conversation(of=acme, days_ago=[50, 5] if young == "message" else 50, variables=0)
    if young == "variable":
        wrong.variables.create(
            environment_id=wrong.environment_id, key="k", value=1, written_at=NOW - timedelta(days=5)
        )
    if young == "attachment":
        attach(wrong, None, days_ago=5)
    Conversation.objects.filter(pk=wrong.pk).update(last_activity_at=NOW - timedelta(days=40))

    purge(now=NOW)

    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    wrong.refresh_from_db()
    assert wrong.messages.count() + wrong.variables.count() + wrong.attachments.count() == 1
    assert wrong.last_activity_at >= NOW - timedelta(days=5)


def test_a_file_shared_by_three_messages_is_deleted_with_the_third(acme):
    blob = stored(acme)
    for age in (20, 10, 0):
        attach(conversation(of=acme, days_ago=age), blob, days_ago=age)

    for day, is_there in ((11, True), (21, True), (31, False)):
        purge(now=NOW + timedelta(days=day))
        delete_blobs(now=NOW + timedelta(days=day))
        assert default_storage.exists(blob.key) == is_there

    assert (Blob.objects.count(), BlobToDelete.objects.count(), Attachment.objects.count()) == (0, 0, 0)


def test_a_file_that_is_not_in_storage_counts_as_deleted(acme):
    blob = stored(acme)
    attach(conversation(of=acme, days_ago=31), blob, days_ago=31)
    default_storage.delete(blob.key)
    purge(now=NOW)

    assert delete_blobs(now=NOW).failed == 0
    assert (Blob.objects.count(), BlobToDelete.objects.count()) == (0, 0)


def test_in_a_storage_that_has_none_of_the_files_nothing_counts_as_deleted(acme, tmp_path):
    going, staying = stored(acme), stored(acme, b"stays")
    attach(conversation(of=acme, days_ago=31), going, days_ago=31)
    attach(conversation(of=acme, days_ago=1), staying, days_ago=1)
    purge(now=NOW)

    volume = Path(default_storage.location)
    volume.rename(tmp_path / "volume")
    volume.mkdir()  # as on a worker that was given no volume
    assert (delete_blobs(now=NOW).failed, BlobToDelete.objects.count(), Blob.objects.count()) == (1, 1, 2)

    volume.rmdir()
    (tmp_path / "volume").rename(volume)
    assert delete_blobs(now=NOW).deleted == 1
    assert (default_storage.exists(going.key), default_storage.exists(staying.key)) == (False, True)


def test_storage_that_is_down_is_tried_again_with_a_growing_delay(acme):
    blob = stored(acme)
    attach(conversation(of=acme, days_ago=31), blob, days_ago=31)
    purge(now=NOW)
    path = Path(default_storage.path(blob.key))
    default_storage.delete(blob.key)
    path.mkdir()
    (path / "in the way").touch()  # a folder that is not empty cannot be deleted

    assert delete_blobs(now=NOW).failed == 1
    assert delete_blobs(now=NOW).failed == 0, "not before its delay is over"
    assert delete_blobs(now=NOW + timedelta(minutes=1)).failed == 1
    row = BlobToDelete.objects.get()
    assert (row.try_count, row.next_try_at) == (2, NOW + timedelta(minutes=3))

    (path / "in the way").unlink()
    assert delete_blobs(now=NOW + timedelta(minutes=3)).deleted == 1
    assert not BlobToDelete.objects.exists()


def test_a_run_whose_process_was_killed_is_closed_by_the_next_one(acme):
    dead = PurgeRun.objects.create(as_of=NOW, last_batch_at=timezone.now() - timedelta(minutes=11))
    alive = PurgeRun.objects.create(as_of=NOW)

    close_dead_runs()

    dead.refresh_from_db()
    alive.refresh_from_db()
    assert (dead.state, alive.state) == (RunState.INTERRUPTED, RunState.RUNNING)


def test_the_command_purges_and_its_dry_run_only_counts(acme, capsys):
    conversation(of=acme, days_ago=5000, now=timezone.now())

    call_command("purge", "--dry-run")
    assert (Conversation.objects.count(), PurgeRun.objects.count()) == (1, 0)
    assert acme.name in capsys.readouterr().out

    call_command("purge")
    assert Conversation.objects.count() == 0
    assert Receipt.objects.get().environment == acme


def test_contacts_go_when_their_last_conversation_has_gone_and_they_are_old(acme):
    idle, young = contact(of=acme, days_ago=31), contact(of=acme, days_ago=29)
    conversation(of=acme, days_ago=31, contact=young)

    run = purge(now=NOW)

    assert list(Contact.objects.all()) == [young]
    assert (run.contacts, idle.pk != young.pk) == (1, True)


def test_a_command_with_an_alarm_fails(acme):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE environments_organisation SET path = 'ZZZZ' || right(path, 4) WHERE id = %s", [acme.pk])
    conversation(of=acme, days_ago=5000, now=timezone.now())
    with pytest.raises(CommandError, match="cannot be trusted"):
        call_command("purge")
