"""Sentences of the retention pages are true whatever state the purge is in, not only when all is well."""

from datetime import timedelta

import pytest
from django.utils import timezone

from archival.engine.run import purge
from archival.evidence import alarms
from archival.models import BlobToDelete, Guard, Proof, PurgeRun
from tests.archival.limits import archive_after
from tests.archival.test_pages import proof_of
from tests.factories import conversation, environment, member, organisation
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def acme(client):
    acme = archive_after(environment(slug="acme", name="Acme", parent=organisation(slug="agency")), 30)
    log_in(client, member(acme, email="ada@example.test"))
    return acme


def ledger(client) -> str:
    return client.get("/acme/retention/").content.decode()


def let_wait(acme, *keys, since):
    for key in keys:
        BlobToDelete.objects.create(
            blob_id=1, key=key, environment_id=acme.pk, size=1, queued_at=since, next_try_at=since
        )


def test_a_run_that_a_guard_kept_away_is_not_said_to_have_found_nothing(client, acme):
    conversation(of=acme, days_ago=31, now=timezone.now())
    Guard.objects.create(environment=acme)
    run = purge(now=timezone.now())

    assert "Nothing due" not in ledger(client)
    assert "Nothing deleted" in ledger(client)
    assert "and nothing was too old." not in client.get(f"/acme/retention/runs/{run.pk}/").content.decode()


def test_a_run_that_did_not_look_is_not_said_to_have_looked(client, acme, settings):
    settings.PURGE_ENABLED = False
    conversation(of=acme, days_ago=31, now=timezone.now())
    run = purge(now=timezone.now())

    page = client.get(f"/acme/retention/runs/{run.pk}/").content.decode()

    assert "The run looked" not in page
    assert "The run has not looked in every environment." in page


@pytest.mark.parametrize("is_enabled", [True, False])
def test_a_next_run_is_shown_only_where_one_will_delete_something(client, acme, settings, is_enabled):
    settings.PURGE_ENABLED = is_enabled
    purge(now=timezone.now())
    assert bool(client.get("/acme/retention/").context["figures"]["next_run_at"]) == is_enabled


def test_a_run_that_should_have_come_hours_ago_is_not_the_next_one(client, acme):
    purge(now=timezone.now())
    PurgeRun.objects.update(started_at=timezone.now() - 3 * HOUR)
    assert client.get("/acme/retention/").context["figures"]["next_run_at"] is None


def test_files_that_wait_are_counted_once_each_and_promised_nothing_once_they_are_late(client, acme):
    now = timezone.now()
    let_wait(acme, "a", "a", "a", "b", since=now)
    page = client.get("/acme/retention/")
    assert page.context["figures"]["waiting"] == 2
    assert "deleted within the hour" in page.content.decode()

    let_wait(acme, "c", since=now - 3 * HOUR)
    assert "deleted within the hour" not in ledger(client)
    assert "oldest since" in ledger(client)


def test_nothing_is_promised_to_files_where_there_are_none(client, acme):
    assert "deleted within the hour" not in ledger(client)


@pytest.mark.parametrize("obstacle", ["switch", "guard"])
def test_what_is_due_is_promised_to_go_only_where_a_run_takes_it(client, acme, settings, obstacle):
    purge(now=timezone.now())
    archive_after(acme, None)
    conversation(of=acme, days_ago=400, now=timezone.now())
    archive_after(acme, 30, now=timezone.now())
    assert proof_of(client, acme)["Messages, due"].endswith("deleted within the hour")
    if obstacle == "switch":
        settings.PURGE_ENABLED = False
    else:
        Guard.objects.create(environment=acme)
    assert "within the hour" not in proof_of(client, acme)["Messages, due"]


def test_the_proof_does_not_say_that_no_file_is_left_where_files_are_kept(client, acme):
    assert proof_of(client, acme)["Files in storage, ok"] == "none to delete"


def test_what_cannot_be_read_is_not_said_to_be_gone(client, acme):
    alarms.store_proof(now=timezone.now())
    finding = {"kind": "messages", "state": "unreadable", "oldest": None, "late_by_seconds": 0}
    Proof.objects.filter(environment=acme).update(findings=[finding], is_late=True)
    assert "none left" not in ledger(client)
    assert "cannot be read" in ledger(client)
