"""Deleting an organisation in the web: who may, what is shown, what workers do, and what stops them."""

from concurrent.futures import ThreadPoolExecutor
from unittest.mock import ANY

import pytest
from django.utils import timezone

from accounts.models import SessionRecord, User
from archival import tasks
from archival.choices import DeletionState, RunState
from archival.holds.services import place_hold, release_hold
from archival.models import Deletion, PurgeRun, Receipt
from archival.requests import deletion
from audit.models import Event
from conversations.models import Contact, Conversation, Message
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.models import Organisation
from tests.archival.connections import run_aside
from tests.browser import log_in_page
from tests.factories import conversation, environment, member, organisation
from tests.logging_in import log_in
from tests.mailbox import sent_mails

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/acme/delete/"


@pytest.fixture
def agency():
    return organisation(slug="agency", name="Agency")


@pytest.fixture
def acme(agency):
    return environment(slug="acme", name="Acme", parent=agency)


@pytest.fixture
def ada(acme, client):
    user = member(acme, email="ada@acme.test", name="Ada")
    log_in(client, user)
    return user


def filled(acme, count=3):
    return [conversation(of=acme, days_ago=[40, 0], now=timezone.now()) for _ in range(count)]


def begun(client):
    """Type the name on the page, and return the deletion and its own page."""
    answer = client.post(PAGE, {"typed_name": "Acme"})
    found = Deletion.objects.latest("pk")
    assert answer.url == f"/deletions/{found.uuid}/"
    return found, answer.url


def interrupted(found, monkeypatch, batches=1):
    """Work as a worker that dies after so many batches of one conversation."""
    monkeypatch.setattr("archival.engine.delete_older.LIMITS", deletion.engine.Limits(conversations=1))
    for _ in range(batches):
        assert deletion.delete_one_batch(found, now=timezone.now())


@pytest.mark.parametrize("role", [*Role, None])
def test_only_those_who_can_delete_find_the_page_and_can_open_it(client, acme, role):
    log_in(client, member(acme if role else environment(), role or Role.ADMINISTRATOR))
    allowed = role == Role.ADMINISTRATOR

    for answer in (client.get(PAGE), client.post(PAGE, {"typed_name": "Acme"})):
        assert answer.status_code in ({200, 302} if allowed else {403 if role else 404})
    if not allowed:
        assert Deletion.objects.count() == 0
        assert PAGE.encode() not in client.get("/acme/settings/").content


def test_settings_lead_there_at_their_end(client, ada):
    page = client.get("/acme/settings/").content.decode()
    assert page.rindex(PAGE) > page.rindex("<form")


def test_the_page_and_its_acts_ask_for_step_up(client, ada, acme):
    SessionRecord.objects.update(stepped_up_at=None)
    for answer in (client.get(PAGE), client.post(PAGE, {"typed_name": "Acme"})):
        assert answer.url.startswith("/profile/security/confirm/")
    SessionRecord.objects.update(stepped_up_at=timezone.now())
    found, page = begun(client)
    SessionRecord.objects.update(stepped_up_at=None)
    assert client.post(f"{page}change/", {"do": "stop"}).url.startswith("/profile/security/confirm/")
    found.refresh_from_db()
    assert found.state == DeletionState.RUNNING


def test_it_shows_exactly_what_goes_and_wants_the_name(client, ada, acme):
    filled(acme)
    shown = client.get(PAGE).context["counts"]
    wrong = client.post(PAGE, {"typed_name": "acme"})
    assert b"Type the name exactly" in wrong.content

    found, page = begun(client)
    assert Message.objects.count() == 6
    tasks.delete_organisation(found.pk)

    receipt = Receipt.objects.get(run=found.run_id)
    assert shown == {kind: getattr(receipt, kind) for kind in shown}
    assert (shown["conversations"], shown["messages"], shown["contacts"]) == (3, 6, 3)
    assert not Organisation.objects.filter(slug="acme").exists()
    assert client.get(page).context["counts"] == shown
    events = Event.objects.filter(action__startswith="organisation.del").order_by("pk")
    assert list(events.values_list("action", "actor_label")) == [
        ("organisation.deletion_begun", str(ada)), ("organisation.deleted", str(ada)),
    ]  # fmt: skip
    assert Event.objects.get(action="organisation.data_deleted").actor_label == str(ada)


def test_a_hold_refuses_it_and_the_page_says_how_many_and_where(client, ada, acme):
    made = filled(acme)
    for held in made[:2]:
        place_hold(acme, reason="dispute", conversation=held, by=SYSTEM, now=timezone.now())

    page = client.get(PAGE)
    refused = client.post(PAGE, {"typed_name": "Acme"})

    assert b"2 legal holds keep" in page.content
    assert b'href="/acme/retention/holds/"' in page.content
    assert (refused.status_code, b"typed_name" in page.content) == (200, False)
    acme.refresh_from_db()
    assert (Deletion.objects.count(), acme.is_suspended) == (0, False)


def test_what_has_something_below_it_is_shown_and_refused(client, agency, acme):
    log_in(client, member(agency))
    assert b"1 organisation is below" in client.get("/agency/delete/").content
    client.post("/agency/delete/", {"typed_name": "Agency"})
    assert Deletion.objects.count() == 0


def test_the_task_delivered_twice_counts_every_row_once(client, ada, acme):
    filled(acme)
    found, _page = begun(client)

    tasks.delete_organisation(found.pk)
    tasks.delete_organisation(found.pk)

    found.refresh_from_db()
    assert (found.state, found.run.messages, found.run.state) == (DeletionState.DONE, 6, RunState.DONE)
    assert Event.objects.filter(action="organisation.deleted").count() == 1


def test_what_lost_its_worker_is_carried_on_by_the_clock(client, ada, acme, monkeypatch):
    filled(acme)
    found, _page = begun(client)
    interrupted(found, monkeypatch)
    sent = []
    monkeypatch.setattr(tasks.delete_organisation, "apply_async", lambda args, kwargs: sent.append(args[0]))

    tasks.resume_deletions()
    assert sent == []  # it gave a sign of life just now
    PurgeRun.objects.update(last_batch_at=timezone.now() - tasks.WORKER_LOST_AFTER * 2)
    tasks.resume_deletions()
    assert sent == [found.pk]
    tasks.delete_organisation(found.pk)

    found.refresh_from_db()
    assert (found.state, found.run.conversations, found.run.messages) == (DeletionState.DONE, 3, 6)


def test_a_task_leaves_the_rest_to_the_next_one(client, ada, acme, monkeypatch):
    filled(acme)
    found, _page = begun(client)
    sent = []
    monkeypatch.setattr(tasks.delete_organisation, "apply_async", lambda args, kwargs: sent.append(args[0]))
    monkeypatch.setattr(tasks, "DELETES_FOR", 0.0)

    tasks.delete_organisation(found.pk)

    assert (sent, Message.objects.count()) == ([found.pk], 6)


def test_a_task_that_finds_another_at_work_leaves_it_alone(client, ada, acme, monkeypatch):
    filled(acme)
    found, _page = begun(client)
    monkeypatch.setattr(tasks.delete_organisation, "apply_async", lambda args, kwargs: pytest.fail("a second chain"))
    with ThreadPoolExecutor(1) as pool, deletion.lock_deletion(found) as is_alone:
        run_aside(pool, lambda: tasks.delete_organisation(found.pk)).result(timeout=20)
        assert (is_alone, Message.objects.count()) == (True, 6)
    tasks.delete_organisation(found.pk)
    assert Message.objects.count() == 0


def test_what_was_being_stored_when_it_began_goes_too(client, ada, acme):
    found, _page = begun(client)
    now = timezone.now()
    assert not deletion.delete_one_batch(found, now=now)
    conversation(of=acme, now=now)  # by a transaction that had begun before

    assert not deletion.finish_deletion(found, now=now)
    tasks.delete_organisation(found.pk)

    assert Deletion.objects.get().state == DeletionState.DONE
    assert Receipt.objects.get().conversations == 1


def test_a_hold_that_comes_meanwhile_stops_it_and_the_page_says_what_to_do(client, ada, acme, monkeypatch):
    held = filled(acme)[-1]
    found, page = begun(client)
    interrupted(found, monkeypatch)
    hold = place_hold(acme, reason="dispute", conversation=held, by=SYSTEM, now=timezone.now())

    tasks.delete_organisation(found.pk)
    tasks.delete_organisation(found.pk)

    assert Conversation.objects.count() == 2
    shown = client.get(page)
    assert b"A legal hold is active in this organisation" in shown.content
    assert b"Reopen the organisation" in shown.content
    assert client.get("/acme/").status_code == 403  # still suspended
    client.post(f"{page}change/", {"do": "continue", "typed_name": "Acme"})  # refused: the hold is there
    assert Deletion.objects.get().state == DeletionState.STOPPED
    client.post(f"{page}change/", {"do": "reopen"})
    assert client.get("/acme/").status_code == 200
    assert Conversation.objects.count() == 2
    release_hold(hold, by=SYSTEM, now=timezone.now())

    again, _page = begun(client)
    tasks.delete_organisation(again.pk)
    assert (again.pk != found.pk, Organisation.objects.filter(slug="acme").exists()) == (True, False)


def test_a_person_can_stop_it_and_have_the_rest_deleted_with_one_receipt(client, ada, acme, monkeypatch):
    filled(acme)
    found, page = begun(client)
    interrupted(found, monkeypatch)

    client.post(f"{page}change/", {"do": "stop"})
    tasks.delete_organisation(found.pk)
    assert Conversation.objects.count() == 2
    assert Event.objects.filter(action="organisation.deletion_stopped").count() == 1
    client.post(f"{page}change/", {"do": "continue"})
    assert Deletion.objects.get().state == DeletionState.STOPPED, "the name was not typed"
    client.post(f"{page}change/", {"do": "continue", "typed_name": "Acme"})
    tasks.delete_organisation(found.pk)

    found.refresh_from_db()
    assert (found.state, Contact.objects.count()) == (DeletionState.DONE, 0)
    assert Receipt.objects.get().conversations == 3
    with pytest.raises(deletion.ValidationError, match="ended"):
        deletion.stop_deletion(found, by=Caller.of(ada), now=timezone.now())


def test_one_that_was_suspended_before_is_opened_again_by_super_users_alone(client, ada, acme):
    root = User.objects.create_superuser("root@studio.test", "Correct-Horse-9")
    deletion.environments.suspend(acme, by=Caller.of(root), now=timezone.now())
    found = deletion.request_deletion(acme, by=Caller.of(root), now=timezone.now())
    deletion.stop_deletion(found, by=Caller.of(root), now=timezone.now())

    assert client.get(f"/deletions/{found.uuid}/").context["can_reopen"] is False
    client.post(f"/deletions/{found.uuid}/change/", {"do": "reopen"})

    acme.refresh_from_db()
    assert acme.is_suspended


def test_its_page_is_for_those_who_can_delete_and_for_whoever_asked(client, ada, agency, acme):
    above, manager, elsewhere = member(agency), member(acme, Role.ORGANISATION_MANAGER), member(environment())
    found, page = begun(client)

    def statuses():
        for user in (above, ada, manager, elsewhere):
            log_in(client, user)
            yield client.get(page).status_code, client.post(f"{page}change/", {"do": "none"}).status_code

    assert list(statuses()) == [(200, 302), (200, 302), (404, 404), (404, 404)]
    tasks.delete_organisation(found.pk)
    assert list(statuses()) == [(200, 302), (200, 403), (404, 404), (404, 404)]
    client.logout()
    assert client.get(page).url.startswith("/login/")


def test_whoever_looks_as_the_one_who_asked_sees_it_only_where_both_can(client, ada, agency, acme):
    found, _page = begun(client)
    root = User.objects.create_superuser("root@studio.test", "Correct-Horse-9")
    for place, sees in ((agency, (True, True)), (environment(), (False, False))):
        assert deletion.deletion_access(Caller.viewing_as(ada, by=root, below=place), found) == sees
    tasks.delete_organisation(found.pk)
    assert deletion.deletion_access(Caller.viewing_as(ada, by=root, below=place), found) == (False, False)


def test_those_who_can_delete_it_get_a_mail_when_it_begins_and_when_it_is_gone(client, ada, agency, acme):
    above, beside = member(agency, language="nl"), member(acme, email="bob@acme.test")
    member(acme, Role.ORGANISATION_MANAGER)
    filled(acme)
    found, page = begun(client)
    tasks.delete_organisation(found.pk)

    of_ada = [message for message in sent_mails() if message.to == [ada.email]]
    assert [message.subject for message in of_ada] == [
        "Acme is being permanently deleted", "Acme is permanently deleted",
    ]  # fmt: skip
    assert all(page in message.body and "Messages: 6" in message.body for message in of_ada)
    assert {message.to[0] for message in sent_mails()} == {ada.email, above.email, beside.email}
    of_bob = [page in message.body for message in sent_mails() if message.to == [beside.email]]
    assert of_bob == [True, False], "it is closed to him in the end"
    assert "definitief" in next(message for message in sent_mails() if message.to == [above.email]).subject


def test_a_second_one_of_the_same_organisation_is_refused_while_it_runs(client, ada, acme):
    begun(client)
    with pytest.raises(deletion.ValidationError, match="already"):
        deletion.begin_deletion(acme, by=Caller.of(ada), now=timezone.now())
    assert Deletion.objects.values("state").get() == {"state": ANY}


@pytest.mark.browser
def test_it_is_deleted_in_a_browser_and_the_page_follows(page, acme):
    ada = member(acme, email="ada@acme.test")
    filled(acme)
    log_in_page(page, ada)
    page.goto("/acme/settings/")
    page.get_by_role("link", name="Delete Acme").click()
    page.get_by_label("Type Acme to confirm").fill("Acme")
    page.get_by_role("button", name="Permanently delete Acme").click()
    page.get_by_role("heading", name="Deletion of Acme").wait_for()
    found = Deletion.objects.get()
    page.get_by_role("button", name="Stop the deletion").click()
    page.get_by_text("The deletion was stopped").wait_for()
    page.get_by_label("Type Acme to confirm").fill("Acme")
    page.get_by_role("button", name="Permanently delete the remaining").click()
    page.get_by_role("heading", name="Running now").wait_for()
    tasks.delete_organisation(found.pk)
    page.get_by_text("Acme is permanently deleted").wait_for()  # without a reload: it asks by itself


@pytest.mark.browser
def test_it_can_be_deleted_and_stopped_without_script(open_page, acme):
    filled(acme)
    page = open_page(java_script_enabled=False)
    log_in_page(page, member(acme, email="ada@acme.test"))
    page.goto("/acme/settings/")
    page.get_by_role("link", name="Delete Acme").click()
    page.get_by_label("Type Acme to confirm").fill("acme")
    page.get_by_role("button", name="Permanently delete Acme").click()
    page.get_by_text("Type the name exactly").first.wait_for()
    page.get_by_label("Type Acme to confirm").fill("Acme")
    page.get_by_role("button", name="Permanently delete Acme").click()
    page.get_by_role("link", name="Refresh").click()
    page.get_by_text("0 of 15 rows").wait_for()
    page.get_by_role("button", name="Stop the deletion").click()
    page.get_by_role("button", name="Reopen the organisation").click()
    page.get_by_text("The organisation is open again").wait_for()
    assert Message.objects.count() == 6
