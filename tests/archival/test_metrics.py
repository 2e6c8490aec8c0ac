"""What monitoring reads, and who may."""

from datetime import timedelta
from math import inf

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from archival.engine.run import purge
from archival.evidence import alarms
from archival.models import BlobToDelete, Guard, PurgeRun
from audit.models import Event
from audit.sealing import seal_events
from environments.choices import Role
from tests.archival.limits import archive_after
from tests.factories import conversation, environment, member
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db
TOKEN = "a token of monitoring"


@pytest.fixture(autouse=True)
def token(settings):
    settings.METRICS_TOKEN = TOKEN


def scrape(client=None):
    answer = (client or Client()).get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Cookie": "x=1"}])
def test_nobody_reads_them_without_the_token(client, given):
    log_in(client, member(environment(), Role.ADMINISTRATOR, is_superuser=True))
    answer = client.get("/metrics", headers=given)
    assert (answer.status_code, answer.content, answer["WWW-Authenticate"]) == (401, b"", "Bearer")


def test_without_a_token_in_the_settings_there_are_none(client, settings):
    settings.METRICS_TOKEN = ""
    for given in ("Bearer ", "Bearer", ""):
        assert client.get("/metrics", headers={"Authorization": given}).status_code == 404


def test_metrics_give_how_late_each_kind_is_and_when_the_last_good_run_was():
    now = timezone.now()
    acme = archive_after(environment(), 30)
    conversation(of=acme, days_ago=40, now=now)
    environment()
    alarms.store_proof(now=now)
    figures = scrape()
    assert figures["studio_retention_late",] == 1
    assert figures["studio_retention_environments", "messages", "late"] == 1
    assert figures["studio_retention_environments", "messages", "kept"] == 1
    late_by = timedelta(days=10) - timedelta(hours=1)
    assert figures["studio_retention_late_seconds", "messages"] == late_by.total_seconds()
    assert figures["studio_purge_last_good_run_timestamp_seconds",] == 0

    run = purge(now=now)
    alarms.store_proof(now=now)

    figures = scrape()
    assert (figures["studio_retention_late",], figures["studio_retention_late_seconds", "messages"]) == (0, 0)
    assert figures["studio_purge_last_good_run_timestamp_seconds",] == pytest.approx(run.started_at.timestamp(), abs=1)


def test_metrics_count_the_files_that_wait_and_the_environments_that_are_guarded(settings):
    now = timezone.now()
    settings.PURGE_ENABLED = False
    acme = environment()
    Guard.objects.create(environment=acme)
    for _ in range(2):  # one file, and a row of each transaction that took an attachment from it
        BlobToDelete.objects.create(
            blob_id=1, key="x", environment_id=acme.pk, size=1, queued_at=now - timedelta(hours=2), next_try_at=now
        )
    purge(now=now)
    figures = scrape()
    assert (figures["studio_purge_enabled",], figures["studio_purge_guarded",]) == (0, 1)
    assert figures["studio_purge_last_good_run_timestamp_seconds",] == 0, "a paused run is none"
    assert figures["studio_blobs_waiting",] == 1
    assert figures["studio_blobs_oldest_waiting_seconds",] == pytest.approx(7200, abs=60)


@pytest.mark.parametrize("count", [1, 30])
def test_they_cost_the_same_for_any_number_of_environments(count, django_assert_num_queries):
    for _ in range(count):
        archive_after(environment(), 30)
    alarms.store_proof(now=timezone.now())
    PurgeRun.objects.create(as_of=timezone.now())
    with django_assert_num_queries(16):
        figures = scrape()
    assert len(figures) < 60


def test_metrics_say_how_long_events_have_waited_for_a_seal():
    assert scrape()["studio_audit_oldest_unsealed_seconds",] == 0
    now = timezone.now()
    for minutes in (50, 40):
        Event.objects.create(action="a.b", actor_kind="system", actor_label="", at=now - timedelta(minutes=minutes))
    assert 3000 <= scrape()["studio_audit_oldest_unsealed_seconds",] < 3060
    seal_events(now=now)
    assert scrape()["studio_audit_oldest_unsealed_seconds",] == 0
    Event.objects.create(action="a.b", actor_kind="system", actor_label="", at=now + timedelta(days=1))
    assert scrape()["studio_audit_oldest_unsealed_seconds",] == inf
