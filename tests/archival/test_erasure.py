"""Erasing one contact, and files that have lost their row."""

import os
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils import timezone

from archival.files.outbox import delete_blobs
from archival.files.sweep import sweep_storage
from archival.holds.services import place_hold
from archival.journal.receipt_file import verify
from archival.journal.signing import public_keys
from archival.models import BlobToDelete, Erasure
from archival.requests.deletion import delete_organisation
from archival.requests.erasure import erase_contact
from audit.models import Event
from conversations.models import Blob, Contact, Conversation, Message
from environments.caller import SYSTEM
from environments.choices import Permission, Role
from environments.models import Organisation
from tests.browser import log_in_page
from tests.factories import NOW, attachment, conversation, environment, member
from tests.logging_in import log_in

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
    attachment(of=made, blob=blob, at=timezone.now())
    return made, blob


def test_erasing_takes_everything_of_the_contact_and_nothing_of_others(acme):
    mine, blob = with_file(acme)
    conversation(of=acme, contact=mine.contact)
    theirs, _ = with_file(acme, key=blob.key)
    alone, own = with_file(acme)
    alone.contact = mine.contact
    alone.save(update_fields=["contact"])

    erasure = erase_contact(mine.contact, by=SYSTEM, now=NOW)

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
    place_hold(acme, reason="dispute", by=SYSTEM, now=NOW, **target)

    with pytest.raises(ValidationError, match="hold"):
        erase_contact(made.contact, by=SYSTEM, now=NOW)

    assert (Message.objects.count(), Erasure.objects.count()) == (1, 0)


def test_the_page_shows_what_goes_then_erases_and_leads_to_the_receipt(client, acme):
    log_in(client, member(acme))
    made, _ = with_file(acme)
    address = f"/acme/contacts/{made.contact.uuid}/erase/"

    assert address.encode() in client.get(f"/acme/contacts/{made.contact.uuid}/").content
    shown = client.get(address).context["counts"]
    assert Contact.objects.exists()
    refused = client.post(address, {"typed_name": "somebody else"})
    assert (refused.status_code, Contact.objects.exists()) == (200, True)
    assert "Permanently delete this contact and 1 conversation" in " ".join(refused.text.split())
    answer = client.post(address, {"typed_name": str(made.contact)})

    assert not Contact.objects.exists()
    erasure = Erasure.objects.get()
    assert erasure.contact_uuid == made.contact.uuid
    assert shown == {kind: getattr(erasure, kind) for kind in shown}
    assert answer.url == f"/acme/retention/erased/{erasure.uuid}/"
    receipt = client.get(answer.url)
    assert (receipt.status_code, receipt.context["erasure"]) == (200, erasure)
    assert made.contact.external_id.encode() not in receipt.content
    assert answer.url.encode() in client.get("/acme/retention/erased/").content
    assert b"/acme/retention/erased/" in client.get("/acme/retention/").content


def test_the_signed_receipt_of_an_erasure_can_be_checked_without_us(client, acme, tmp_path, capsys):
    log_in(client, member(acme))
    erasure = erase_contact(conversation(of=acme).contact, by=SYSTEM, now=NOW)

    document = client.get(f"/acme/retention/erased/{erasure.uuid}/signed.json").content.decode()

    (told,) = verify(document, public_keys())["receipts"]
    assert (told["erasure"], told["contact"], told["messages"]) == (str(erasure.uuid), str(erasure.contact_uuid), 1)
    (tmp_path / "receipt.json").write_text(document)
    call_command("verify_receipt", str(tmp_path / "receipt.json"))
    assert "Authentic: 1 receipts" in capsys.readouterr().out


def test_the_second_of_two_clicks_leads_to_the_receipt_of_the_first(client, acme):
    log_in(client, member(acme))
    whose = conversation(of=acme, now=timezone.now()).contact
    address = f"/acme/contacts/{whose.uuid}/erase/"

    first, second = [client.post(address, {"typed_name": str(whose)}) for _click in (1, 2)]

    assert Erasure.objects.count() == 1
    assert (second.status_code, second.url) == (302, first.url)
    elsewhere = conversation(of=environment(), now=timezone.now()).contact
    erase_contact(elsewhere, by=SYSTEM, now=timezone.now())
    assert client.post(f"/acme/contacts/{elsewhere.uuid}/erase/").status_code == 404


@pytest.mark.parametrize("role", [*Role, None])
def test_each_role_can_erase_and_read_receipts_as_listed(client, acme, role):
    made = conversation(of=acme, now=timezone.now())
    erasure = erase_contact(conversation(of=acme).contact, by=SYSTEM, now=NOW)
    log_in(client, member(acme if role else environment(), role or Role.ADMINISTRATOR))
    may = role.permissions if role else frozenset()

    def status(permission):
        return {200} if permission in may else {403 if role else 404}

    page = f"/acme/contacts/{made.contact.uuid}/"
    assert {client.get(f"{page}erase/").status_code} == status(Permission.ERASE)
    if Permission.ERASE not in may:
        assert b"/erase/" not in client.get(page).content
        assert {client.post(f"{page}erase/").status_code} == status(Permission.ERASE)
        assert Contact.objects.filter(pk=made.contact_id).exists()
    for path in ("", f"{erasure.uuid}/", f"{erasure.uuid}/signed.json"):
        assert {client.get(f"/acme/retention/erased/{path}").status_code} == status(Permission.READ_AUDIT_LOG)


def test_receipts_of_others_are_not_found_and_those_below_are(client, acme):
    erasure = erase_contact(conversation(of=acme).contact, by=SYSTEM, now=NOW)
    above, other = Organisation.objects.get_parent(acme), environment(slug="other")
    for place, status in ((above, 200), (other, 404)):
        log_in(client, member(place))
        assert client.get(f"/{place.slug}/retention/erased/{erasure.uuid}/").status_code == status
        shown = str(erasure.uuid).encode() in client.get(f"/{place.slug}/retention/erased/").content
        assert shown == (status == 200)


@pytest.mark.parametrize("count", [1, 30])
def test_the_list_of_what_was_erased_costs_the_same_for_any_number(client, acme, count, django_assert_max_num_queries):
    above = Organisation.objects.get_parent(acme)
    log_in(client, member(above))
    for _ in range(count):
        erase_contact(conversation(of=acme).contact, by=SYSTEM, now=NOW)
        delete_organisation(environment(parent=above), by=SYSTEM, now=NOW)
    with django_assert_max_num_queries(7):
        page = client.get(f"/{above.slug}/retention/erased/")
    assert (len(page.context["page"]), len(page.context["deletions"])) == (count, count)


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_contact_is_erased_in_a_browser(page, acme):
    made, _ = with_file(acme)
    log_in_page(page, member(acme, email="ada@acme.test"))
    page.goto(f"/acme/contacts/{made.contact.uuid}/erase/")
    page.get_by_label("to confirm").fill(str(made.contact))
    page.get_by_role("button", name="Permanently delete this contact and 1 conversation").click()
    page.get_by_role("heading", name="Receipt of an erasure").wait_for()


def test_the_sweep_finds_files_without_rows_and_rows_without_files_and_leaves_young_files(acme, capsys):
    now = timezone.now()
    young = default_storage.save(f"{acme.pk}/young", ContentFile(b"x"))
    orphan = default_storage.save(f"{acme.pk}/orphan", ContentFile(b"x"))
    waiting = default_storage.save(f"{acme.pk}/waiting", ContentFile(b"x"))
    BlobToDelete.objects.create(blob_id=1, key=waiting, environment_id=acme.pk, size=1)
    old = (now - timedelta(hours=25)).timestamp()
    for key in (orphan, waiting):
        os.utime(default_storage.path(key), (old, old))
    Blob.objects.create(environment=acme, sha256="x", key="gone", size=1, created_at=now - timedelta(hours=25))

    found = sweep_storage(now=now)

    assert (orphan in found.orphans, young in found.orphans, waiting in found.orphans) == (True, False, False)
    assert found.missing == ["gone"]
    with pytest.raises(SystemExit, match="1"):
        call_command("sweep_blobs", "--delete", "--dry-run")
    assert default_storage.exists(orphan)
    with pytest.raises(SystemExit, match="1"):
        call_command("sweep_blobs", "--delete")
    assert (default_storage.exists(orphan), default_storage.exists(young)) == (False, True)
    assert "No file: gone" in capsys.readouterr().out
