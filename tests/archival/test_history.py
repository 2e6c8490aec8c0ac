"""What was changed, scheduled or held stays known after the organisations that it names are gone."""

from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from archival.files.outbox import delete_blobs
from archival.holds.services import place_hold, release_hold
from archival.models import BlobToDelete, Hold, PolicyChange
from archival.policy.services import change_retention, move_organisation
from archival.requests.deletion import delete_organisation
from audit.models import Event
from conversations.models import Blob
from environments.caller import SYSTEM
from environments.models import MfaChange, Organisation
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import schedule_mfa
from environments.policies.retention import Retention
from tests.archival.limits import archive_after
from tests.factories import NOW, conversation, environment, organisation

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


@pytest.fixture
def acme():
    return environment(slug="acme", name="Acme", parent=organisation(slug="agency", name="Agency"))


def test_a_pending_move_outlives_the_place_that_it_was_to_go_to_and_ends_with_it(acme):
    place = archive_after(organisation(slug="stricter", name="Stricter"), 30)
    conversation(of=acme, days_ago=90)
    change = move_organisation(acme, to=place, by=SYSTEM, now=NOW)
    assert change.is_pending

    delete_organisation(place, by=SYSTEM, now=timezone.now())

    kept = PolicyChange.objects.get(pk=change.pk)
    assert (kept.state, kept.organisation, kept.target) == ("refused", acme, "a place below Stricter")
    assert kept.reason == "The organisation below which it was to go was deleted."
    assert Event.objects.filter(action="retention.change_refused").exists()
    assert Organisation.objects.get(slug="acme").effective_archive_after_days is None


def test_changes_and_holds_of_an_organisation_outlive_it_and_nothing_of_it_stays_pending(acme):
    now = timezone.now()
    release_hold(place_hold(acme, reason="dispute", by=SYSTEM, now=now), by=SYSTEM, now=now)
    change_retention(acme, to=Retention.limit(90), by=SYSTEM, now=now)
    conversation(of=acme, days_ago=40, now=now)
    waits = change_retention(acme, to=Retention.limit(30), by=SYSTEM, now=now)
    requirement = schedule_mfa(acme, to=MfaRule.on(), acts_at=now + DAY, by=SYSTEM, now=now)

    delete_organisation(acme, by=SYSTEM, now=now)

    changes = PolicyChange.objects.filter(organisation_id=waits.organisation_id).order_by("pk")
    assert [(each.state, each.days) for each in changes] == [("applied", 90), ("cancelled", 30)]
    assert MfaChange.objects.get(pk=requirement.pk).state == "cancelled"
    assert Hold.objects.get().reason == "dispute"
    assert {each.organisation_label for each in [*changes, *MfaChange.objects.all()]} == {"Acme"}
    assert not Organisation.objects.filter(slug="acme").exists()


@pytest.mark.parametrize("table", ["archival_policychange", "archival_hold", "environments_mfachange"])
def test_the_database_refuses_to_forget_a_change_or_a_hold(acme, table):
    with pytest.raises(IntegrityError, match="last"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table}")


def test_a_file_that_many_transactions_queued_counts_as_one(acme):
    now = timezone.now()
    files = {}
    for number in range(3):
        key = default_storage.save(f"{acme.pk}/shared{number}", ContentFile(b"bytes"))
        files[key] = Blob.objects.create(environment=acme, sha256=key, key=key, size=5)
    for _ in range(80):
        BlobToDelete.objects.add(files.values(), now=now)

    assert delete_blobs(now=now).deleted == 3
    assert not BlobToDelete.objects.exists()
    assert not any(default_storage.exists(key) for key in files)


def test_a_file_that_storage_does_not_delete_counts_and_waits_as_one(acme):
    now = timezone.now()
    folder = f"{acme.pk}/folder"
    default_storage.save(f"{folder}/file", ContentFile(b"bytes"))  # what is in the way is no file: it cannot be removed
    blob = Blob.objects.create(environment=acme, sha256="x", key=folder, size=5)
    for _ in range(120):
        BlobToDelete.objects.add([blob], now=now)

    assert delete_blobs(now=now).failed == 1
    assert set(BlobToDelete.objects.values_list("try_count", flat=True)) == {1}
