"""Erasing one contact, and files that have lost their row."""

import os
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils import timezone

from archival.blobs import delete_blobs
from archival.erasure import erase_contact
from archival.holds import place_hold
from archival.models import BlobToDelete, Erasure
from archival.sweep import sweep
from audit.models import Event
from conversations.models import Attachment, Blob, Contact, Conversation, Message
from tests.factories import NOW, conversation, environment, member
from tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return environment(slug="acme")


def with_file(of, *, key=None):
    made = conversation(of=of, now=timezone.now())
    blob = Blob.objects.filter(key=key).first()
    if blob is None:
        key = default_storage.save(f"{of.pk}/erasure", ContentFile(b"bytes"))
        blob = Blob.objects.create(environment=of, sha256=key, key=key, size=5)
    Attachment.objects.create(conversation=made, blob=blob, name="x", mime="a/b", size=5, sent_at=timezone.now())
    return made, blob


def test_erasing_takes_everything_of_the_contact_and_nothing_of_others(acme):
    mine, blob = with_file(acme)
    conversation(of=acme, contact=mine.contact)
    theirs, _ = with_file(acme, key=blob.key)
    alone, own = with_file(acme)
    alone.contact = mine.contact
    alone.save(update_fields=["contact"])

    erasure = erase_contact(mine.contact, by=None, now=NOW)

    assert (erasure.conversations, erasure.messages, erasure.variables, erasure.attachments) == (3, 3, 3, 2)
    assert list(Conversation.objects.all()) == [theirs]
    assert not Contact.objects.filter(pk=mine.contact_id).exists()
    emptied = delete_blobs(now=NOW)
    assert (emptied.deleted, emptied.kept) == (1, 1)
    assert (default_storage.exists(blob.key), default_storage.exists(own.key)) == (True, False)
    event = Event.objects.get(action="contact.erased")
    assert mine.contact.external_id not in str([event.subject_label, event.after])


@pytest.mark.parametrize("covers", ["environment", "contact", "conversation"])
def test_what_is_held_is_not_erased(acme, covers):
    made = conversation(of=acme)
    target = {"environment": {}, "contact": {"contact": made.contact}, "conversation": {"conversation": made}}[covers]
    place_hold(acme, reason="dispute", by=None, now=NOW, **target)

    with pytest.raises(ValidationError, match="hold"):
        erase_contact(made.contact, by=None, now=NOW)

    assert (Message.objects.count(), Erasure.objects.count()) == (1, 0)


def test_the_page_shows_what_goes_and_then_erases(client, acme):
    sign_in(client, member(acme))
    made, _ = with_file(acme)
    address = f"/acme/contacts/{made.contact.uuid}/erase/"

    assert client.get(address).context["counts"]["messages"] == 1
    assert Contact.objects.exists()
    client.post(address)

    assert not Contact.objects.exists()
    assert client.post(address).status_code == 404
    assert Erasure.objects.get().contact_uuid == made.contact.uuid


def test_the_sweep_finds_both_ways_and_spares_what_is_young(acme, capsys):
    now = timezone.now()
    young = default_storage.save(f"{acme.pk}/young", ContentFile(b"x"))
    orphan = default_storage.save(f"{acme.pk}/orphan", ContentFile(b"x"))
    waiting = default_storage.save(f"{acme.pk}/waiting", ContentFile(b"x"))
    BlobToDelete.objects.create(blob_id=1, key=waiting, environment_id=acme.pk, size=1)
    old = (now - timedelta(hours=25)).timestamp()
    for key in (orphan, waiting):
        os.utime(default_storage.path(key), (old, old))
    Blob.objects.create(environment=acme, sha256="x", key="gone", size=1, created_at=now - timedelta(hours=25))

    found = sweep(now=now)

    assert (orphan in found.orphans, young in found.orphans, waiting in found.orphans) == (True, False, False)
    assert found.missing == ["gone"]
    with pytest.raises(SystemExit, match="1"):
        call_command("sweep_blobs", "--delete", "--dry-run")
    assert default_storage.exists(orphan)
    with pytest.raises(SystemExit, match="1"):
        call_command("sweep_blobs", "--delete")
    assert (default_storage.exists(orphan), default_storage.exists(young)) == (False, True)
    assert "no file: gone" in capsys.readouterr().out
