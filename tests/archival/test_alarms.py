"""What is late or silent is told: once to each who may do something about it, and once more when it is over."""

from datetime import timedelta

import pytest
from django.utils import timezone

from archival.deletion import delete_organisation
from archival.ledger import figures, is_silent
from archival.models import PurgeRun
from archival.older import delete_older
from archival.purge import purge
from tests.archival.limits import archive_after
from tests.factories import conversation, environment, organisation

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme", name="Acme", parent=organisation(slug="agency")), 30)


def test_only_a_run_of_the_purge_shows_that_it_is_alive(acme):
    now = timezone.now()
    purge(now=now)
    PurgeRun.objects.update(started_at=now - 2 * HOUR)

    delete_older({acme.pk: now - timedelta(days=30)}, now=now)
    delete_organisation(environment(), by=None, now=now)

    assert [run.purpose for run in PurgeRun.objects.order_by("pk")] == ["policy", "reapply", "deletion"]
    assert is_silent(now=now)
    assert figures(acme, now=now)["next_run_at"] < now - HOUR
    purge(now=now)
    assert not is_silent(now=now)


def test_a_purge_that_is_switched_off_is_silent_after_an_hour_like_a_broken_one(acme, settings):
    now = timezone.now()
    purge(now=now)
    settings.PURGE_ENABLED = False
    purge(now=now)

    assert not is_silent(now=now + HOUR)
    assert is_silent(now=now + HOUR + timedelta(minutes=1))


def test_a_deletion_that_runs_is_not_the_purge_that_runs(acme):
    conversation(of=acme, days_ago=31)
    PurgeRun.objects.create(as_of=timezone.now(), purpose="deletion")

    assert figures(acme, now=timezone.now())["running"] is None
