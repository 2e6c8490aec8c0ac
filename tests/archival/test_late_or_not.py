"""What counts as late, and what never excuses anything; shells go within the hour like what was in them."""

import os
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings as ours
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils import timezone

from archival.engine.run import purge
from archival.evidence.proof import check_all_environments
from archival.holds.services import place_hold
from archival.models import BlobToDelete, Hold
from archival.policy.services import change_retention
from conversations.ingest.append import append
from conversations.ingest.lines import NewMessage
from conversations.ingest.lines import check_conversation as parsed
from conversations.ingest.services import store
from conversations.models import Blob, Contact, Conversation, ConversationVariable, Message
from environments.caller import SYSTEM
from environments.choices import Archival
from environments.models import Organisation
from environments.policies.retention import Retention
from studio.celery import app
from tests.archival.limits import archive_after
from tests.conversations.lines import line
from tests.factories import conversation, environment

pytestmark = pytest.mark.django_db
DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme"), 30)


def late(now):
    return {(each.kind, each.state.value) for each in check_all_environments(now=now) if each.is_late}


def say(to, at, now, text="x"):
    return append(to, messages=[NewMessage(seq=None, role="user", text=text, ts=at)], now=now)


# -- Shells ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("past_the_hour", [timedelta(), SECOND, 59 * MINUTE + 59 * SECOND])
def test_conversation_and_contact_go_within_the_hour_after_their_last_item(acme, now, past_the_hour):
    at = (now - 40 * DAY).replace(minute=0, second=0, microsecond=0) + past_the_hour
    store(acme, [parsed(line("first", ts=at.isoformat(), variables={"k": 1}))], now=at)
    conversation(of=acme, days_ago=0, now=now)  # nobody's shell

    purge(now=at + 30 * DAY + SECOND)
    assert not Message.objects.filter(conversation__external_id="first").exists()
    purge(now=at + 30 * DAY + 20 * MINUTE)

    assert not Conversation.objects.filter(external_id="first").exists()
    assert not ConversationVariable.objects.filter(conversation__external_id="first").exists()
    assert Contact.objects.count() == 1


def test_a_contact_has_its_clock_in_the_proof_while_a_shell_stands(acme, now):
    shell = conversation(of=acme, days_ago=40, now=now)
    shell.messages.all().delete()
    shell.variables.all().delete()

    found = {each.kind: each for each in check_all_environments(now=now)}

    assert found["contacts"].oldest == shell.contact.last_activity_at
    assert late(now) == {("conversations", "late"), ("contacts", "late")}


def test_a_contact_that_talks_is_on_time_and_has_a_clock(acme, now):
    old = conversation(of=acme, days_ago=[60, 1], now=now)
    Contact.objects.filter(pk=old.contact_id).update(last_activity_at=now - 60 * DAY)
    Message.objects.filter(seq=0).delete()

    found = {each.kind: (each.oldest, each.is_late) for each in check_all_environments(now=now)}

    assert found["contacts"] == (now - 60 * DAY, False)


def test_the_clock_of_a_contact_keeps_up_with_what_is_said(acme, now):
    at = now.replace(minute=0, second=0, microsecond=0) - HOUR
    store(acme, [parsed(line("first", ts=at.isoformat()))], now=at)
    for minutes in range(0, 50, 7):
        said = at + minutes * MINUTE
        say(Conversation.objects.select_related("contact").get(), said, said)

        assert said - Contact.objects.get().last_activity_at < 5 * MINUTE


# -- From when it is late ----------------------------------------------------------------------------
def test_an_import_of_old_dates_is_late_an_hour_after_it_came(acme, now):
    store(acme, [parsed(line("old", ts=(now - 400 * DAY).isoformat(), variables={"k": 1}))], now=now)

    assert late(now) == set()
    assert late(now + HOUR - SECOND) == set()
    assert late(now + HOUR + MINUTE) == {("messages", "late"), ("variables", "late")}


def test_an_old_message_for_an_old_conversation_is_late_an_hour_after_it_came(acme, now):
    talk = conversation(of=acme, days_ago=2, now=now)

    say(talk, now - 90 * DAY, now)

    assert late(now) == set()
    assert late(now + HOUR + MINUTE) == {("messages", "late")}


def test_what_comes_late_excuses_nothing_that_was_late_before(acme, now):
    talk = conversation(of=acme, days_ago=[45, 2], now=now)

    say(talk, now - 90 * DAY, now)

    assert late(now) == {("messages", "late")}


def test_an_arrival_in_the_future_excuses_nothing(acme, now):
    conversation(of=acme, days_ago=40, now=now)
    Conversation.objects.update(created_at=now + 400 * DAY)

    assert ("messages", "late") in late(now)


# -- The start of a limit ----------------------------------------------------------------------------
def test_a_start_in_the_future_excuses_nothing(acme, now):
    conversation(of=acme, days_ago=40, now=now)
    Organisation.objects.filter(pk=acme.pk).update(archival_since=now + 400 * DAY)

    assert ("messages", "late") in late(now)


@pytest.mark.parametrize("days", [60, 20])
def test_another_limit_excuses_nothing_that_was_late_before(acme, now, days):
    conversation(of=acme, days_ago=100, now=now)
    assert ("messages", "late") in late(now)

    change_retention(acme, to=Retention.limit(days), by=SYSTEM, now=now, at_once=True)

    acme.refresh_from_db()
    assert acme.effective_archive_after_days == days
    assert ("messages", "late") in late(now + MINUTE)


def test_a_shorter_limit_gives_an_hour_to_what_the_longer_one_kept(acme, now):
    conversation(of=acme, days_ago=25, now=now)
    change_retention(acme, to=Retention.limit(28), by=SYSTEM, now=now - 3 * MINUTE, at_once=True)
    change_retention(acme, to=Retention.limit(20), by=SYSTEM, now=now, at_once=True)

    assert late(now + 59 * MINUTE) == set()
    assert ("messages", "late") in late(now + 61 * MINUTE)


def test_a_limit_after_none_gives_an_hour_to_all(acme, now):
    conversation(of=acme, days_ago=100, now=now)
    for archival, days in ((Archival.KEEP, None), (Archival.LIMIT, 30)):
        change_retention(acme, to=Retention(archival, days), by=SYSTEM, now=now, at_once=True)

    assert late(now + 59 * MINUTE) == set()
    assert ("messages", "late") in late(now + 61 * MINUTE)


# -- What must not stay green ------------------------------------------------------------------------
def test_a_checker_whose_clock_is_behind_finds_what_is_late(acme, now, monkeypatch):
    conversation(of=acme, days_ago=31, now=now)
    monkeypatch.setattr("django.utils.timezone.now", lambda: now - 400 * DAY)

    with pytest.raises(SystemExit, match="1"):
        call_command("check_retention")


def stored(of, *, days_ago=0):
    key = default_storage.save(f"{of.pk}/{uuid4().hex}", ContentFile(b"bytes"))
    then = (timezone.now() - days_ago * DAY).timestamp()
    os.utime(default_storage.path(key), (then, then))
    return key


def test_a_storage_that_is_not_mounted_is_late_after_an_hour(acme, now, settings, tmp_path):
    gone = stored(acme)
    BlobToDelete.objects.create(
        blob_id=10**9, key=gone, environment_id=acme.pk, size=5, queued_at=now - 2 * HOUR, next_try_at=now
    )
    key = stored(acme)
    Blob.objects.create(environment=acme, sha256=key, key=key, size=5)
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "not-mounted")},
        },
    }

    assert ("files", "late") in late(now)


def test_a_file_of_ten_days_that_no_row_names_goes_by_beat(acme, now):
    kept = stored(acme, days_ago=10)
    Blob.objects.create(environment=acme, sha256=kept, key=kept, size=5, created_at=now - 10 * DAY)
    orphan, young = stored(acme, days_ago=10), stored(acme)
    foreign = default_storage.save("somebody-elses.txt", ContentFile(b"bytes"))
    os.utime(default_storage.path(foreign), (0, 0))

    app.loader.import_default_modules()
    for entry in ours.CELERY_BEAT_SCHEDULE.values():
        if str(entry["task"]).startswith("archival."):
            app.tasks[entry["task"]]()

    left = [key for key in (kept, orphan, young, foreign) if Path(default_storage.path(key)).exists()]
    Path(default_storage.path(foreign)).unlink()
    assert left == [kept, young, foreign]


def test_a_hold_covers_only_what_is_in_its_own_environment(acme, now):
    other = archive_after(environment(slug="other"), 30)
    theirs = conversation(of=other, days_ago=40, now=now)

    for covered in ({"conversation": theirs}, {"contact": theirs.contact}):
        with pytest.raises(ValidationError, match="deleted"):
            place_hold(acme, reason="dispute", by=SYSTEM, now=now, **covered)


def test_a_hold_of_another_environment_excuses_nothing(acme, now):
    other = archive_after(environment(slug="other"), 30)
    theirs = conversation(of=other, days_ago=40, now=now)
    Hold.objects.create(environment=acme, conversation=theirs, reason="dispute", placed_at=now)
    Hold.objects.create(environment=acme, contact=theirs.contact, reason="dispute", placed_at=now)

    assert ("messages", "late") in late(now)
