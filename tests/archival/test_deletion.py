"""Deleting an environment: everything goes but the receipts, unless somebody holds something."""

from concurrent.futures import ThreadPoolExecutor
from unittest.mock import ANY

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from archival.choices import RunState
from archival.engine import run as purge
from archival.evidence import alarms
from archival.files.outbox import delete_blobs
from archival.holds.services import place_hold, release_hold
from archival.models import Erasure, Guard, Proof, PurgeRun, Receipt
from archival.policy.services import apply_due_change, cancel_change, change_retention
from archival.requests import deletion
from archival.requests.deletion import count_organisation, delete_organisation
from archival.requests.erasure import erase_contact
from archival.restore.reapply import reapply_journal
from audit.models import Event
from conversations.models import Blob, Contact, Conversation, Message
from environments.caller import SYSTEM, Caller
from environments.models import Organisation
from environments.policies.retention import Retention
from environments.tree.services import create_organisation
from tests.archival.connections import run_aside, wait_until_waiting
from tests.archival.restoring import backup
from tests.factories import attachment, conversation, environment, member, organisation

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def acme():
    return environment(slug="acme", name="Acme", parent=organisation(slug="agency"))


def filled(acme):
    """Give the environment a bit of everything, and return the key of its file."""
    now = timezone.now()
    made = conversation(of=acme, days_ago=[400, 0], now=now, variables=2)
    key = default_storage.save(f"{acme.pk}/deleted", ContentFile(b"bytes"))
    blob = Blob.objects.create(environment=acme, sha256="x", key=key, size=5)
    attachment(of=made, blob=blob, at=now)
    Blob.objects.create(environment=acme, sha256="y", key=default_storage.save(key, ContentFile(b"2")), size=1)
    conversation(of=acme, days_ago=3, now=now)
    return key


def test_everything_of_it_goes_and_nothing_of_others_and_the_receipts_stay(acme):
    now = timezone.now()
    key = filled(acme)
    ada = member(acme, email="ada@acme.test")
    theirs = conversation(of=environment(parent=Organisation.objects.get(slug="agency")), now=now)
    erased = erase_contact(conversation(of=acme, now=now).contact, by=SYSTEM, now=now)
    release_hold(place_hold(acme, reason="over", by=SYSTEM, now=now), by=SYSTEM, now=now)
    counted = count_organisation(acme)

    run = delete_organisation(acme, by=Caller.of(ada), now=now)

    assert counted == {
        "conversations": 2, "messages": 3, "variables": 3, "attachments": 1, "contacts": 2, "bytes": 5,
    }  # fmt: skip
    receipt = Receipt.objects.get(run=run)
    assert {kind: getattr(receipt, kind) for kind in counted} == counted
    assert (receipt.environment_label, run.state) == ("Acme", RunState.DONE)
    assert list(Conversation.objects.all()) == [theirs]
    assert list(Contact.objects.all()) == [theirs.contact]
    assert not Organisation.objects.filter(slug="acme").exists()
    assert Organisation.objects.get(slug="agency").numchild == 1
    assert (delete_blobs(now=now).deleted, default_storage.exists(key), Blob.objects.count()) == (2, False, 0)
    assert Erasure.objects.get() == erased
    event = Event.objects.get(action="organisation.deleted")
    assert (event.actor_label, event.before) == (str(ada), {"kind": "environment", "slug": "acme"})
    again = create_organisation("Acme", kind="environment", parent=Organisation.objects.get(slug="agency"), by=SYSTEM)
    assert (again.pk != acme.pk, again.slug) == (True, "acme-2")  # no bot of the deleted one stores data in it


@pytest.mark.parametrize("covers", ["environment", "contact", "conversation"])
def test_it_is_refused_while_a_hold_is_active(acme, covers):
    filled(acme)
    made = Conversation.objects.first()
    target = {"environment": {}, "contact": {"contact": made.contact}, "conversation": {"conversation": made}}[covers]
    place_hold(acme, reason="dispute", by=SYSTEM, now=timezone.now(), **target)
    before = count_organisation(acme)

    with pytest.raises(ValidationError, match="legal hold"):
        delete_organisation(acme, by=SYSTEM, now=timezone.now())

    acme.refresh_from_db()
    assert (count_organisation(acme), acme.is_suspended, PurgeRun.objects.count()) == (before, False, 0)


def test_a_hold_that_is_placed_while_it_runs_stops_it_before_the_next_batch(acme, monkeypatch):
    now = timezone.now()
    for _ in range(3):
        conversation(of=acme, now=now)
    held = conversation(of=acme, now=now)
    monkeypatch.setattr("archival.engine.delete_older.LIMITS", deletion.engine.Limits(conversations=1))
    real = deletion.delete_batch

    def then_hold(*arguments):
        found = real(*arguments)
        if not acme.holds.exists():
            place_hold(acme, reason="dispute", conversation=held, by=SYSTEM, now=now)
        return found

    monkeypatch.setattr(deletion, "delete_batch", then_hold)
    with pytest.raises(ValidationError, match="legal hold"):
        delete_organisation(acme, by=SYSTEM, now=now)

    acme.refresh_from_db()
    assert (Conversation.objects.count(), acme.is_suspended) == (3, True)
    assert Conversation.objects.filter(pk=held.pk).exists()
    run = PurgeRun.objects.get()
    assert (run.state, run.conversations, Receipt.objects.get().conversations) == (RunState.INTERRUPTED, 1, 1)


def test_what_has_something_below_it_is_not_deleted(acme):
    with pytest.raises(ValidationError, match="below"):
        delete_organisation(Organisation.objects.get(slug="agency"), by=SYSTEM, now=timezone.now())
    assert Organisation.objects.count() == 2


def test_the_command_counts_asks_for_the_name_and_deletes(acme, capsys, monkeypatch):
    filled(acme)
    call_command("delete_organisation", "acme", "--dry-run")
    assert "Acme: 2 conversations, 3 messages" in capsys.readouterr().out
    monkeypatch.setattr("builtins.input", lambda _question: "acme")
    with pytest.raises(CommandError, match="not the name of the organisation"):
        call_command("delete_organisation", "acme")
    assert Message.objects.count() == 3
    call_command("delete_organisation", "acme", "--yes")
    call_command("delete_organisation", "agency", "--yes")
    assert (Organisation.objects.count(), Message.objects.count()) == (0, 0)


def test_an_environment_that_was_deleted_since_the_backup_is_deleted_again(acme):
    now = timezone.now()
    filled(acme)
    with backup() as taken:
        delete_organisation(acme, by=SYSTEM, now=now)
        taken.restore()
        found = reapply_journal(now=now)
    assert (found.done, found.refused) == ({"deletion": 1}, [])
    assert (Organisation.objects.count(), Message.objects.count()) == (1, 0)
    assert Event.objects.filter(action="organisation.deleted").values("before").get() == {"before": ANY}


def test_a_deletion_that_ran_when_the_backup_was_taken_goes_on_only_if_it_was_finished_since(acme):
    now = timezone.now()
    spared = environment(slug="spared", parent=Organisation.objects.get(slug="agency"))
    for each in (acme, spared):
        filled(each)
    ada = member(acme)
    finished, given_up = (deletion.begin_deletion(each, by=Caller.of(ada), now=now) for each in (acme, spared))
    with backup() as taken:
        deletion.continue_deletion(finished, now=now)
        deletion.stop_deletion(given_up, by=Caller.of(ada), now=now)
        deletion.reopen_organisation(given_up, by=Caller.of(ada), now=now)
        taken.restore()
        found = reapply_journal(now=now)
    assert (found.done, found.refused) == ({"deletion": 1}, [])
    assert [each.slug for each in Organisation.objects.environments()] == ["spared"]
    given_up.refresh_from_db()
    assert (given_up.state, given_up.reason, Message.objects.count()) == ("stopped", "backup", 3)


def test_a_run_that_reaches_its_maximum_in_what_was_just_deleted_does_not_fail(acme):
    run = PurgeRun.objects.create(as_of=timezone.now())
    delete_organisation(acme, by=SYSTEM, now=timezone.now())

    assert not purge.guard_environment(run, acme.pk)
    assert not Guard.objects.exists()


def test_the_proof_is_kept_although_an_environment_was_deleted_while_it_was_checked(acme):
    other = environment(slug="other")
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [alarms.ALARM_LOCK])
            checked = run_aside(pool, lambda: alarms.store_proof(now=timezone.now()))
            wait_until_waiting()  # it has looked at both
            delete_organisation(acme, by=SYSTEM, now=timezone.now())
        checked.result()

    assert [proof.environment for proof in Proof.objects.all()] == [other]


def test_a_change_of_what_was_just_deleted_fails_neither_the_changes_beside_it_nor_whoever_cancels_it(acme):
    conversation(of=acme, days_ago=400, now=timezone.now())
    change = change_retention(acme, to=Retention.limit(30), by=SYSTEM, now=timezone.now())
    delete_organisation(acme, by=SYSTEM, now=timezone.now())

    assert not apply_due_change(change.pk, now=timezone.now())
    with pytest.raises(ValidationError, match="no longer pending"):
        cancel_change(change, by=SYSTEM, now=timezone.now())
