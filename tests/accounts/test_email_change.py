"""Another e-mail address: proven by its mailbox, told to the old one, and no way around the factor."""

import re
from datetime import timedelta
from functools import partial

import pytest
from django.core import mail
from django.db.models import F
from django.test import Client
from django.utils import timezone

from accounts.choices import MailPurpose
from accounts.factors.services import send_mailbox_code
from accounts.models import EmailChange, User
from accounts.passwords import tasks as password_tasks
from accounts.profile import email_change
from accounts.profile import tasks as profile_tasks
from audit.models import Event
from tests.at_once import at_once
from tests.factories import PASSWORD, member
from tests.logging_in import code, expire_step_up, give_app, give_password, log_in
from tests.mailbox import clear_mails, sent_mails
from web.models import Delivery

NEW = "ada@new.test"
ASK = "/profile/email/"


@pytest.fixture
def link(client, ada, django_capture_on_commit_callbacks) -> str:
    """Sign Ada in, and return the link that the new mailbox got."""
    log_in(client, ada)
    return asked(ada, django_capture_on_commit_callbacks)


def asked(user, commit, email: str = NEW) -> str:
    user.refresh_from_db()
    with commit(execute=True):
        profile_tasks.send_email_change(user.pk, user.get_session_auth_hash(), email)
    assert sent_mails()[-1].to == [email]
    return re.findall(r"/profile/email/confirm/\S+/", sent_mails()[-1].body)[0]


def test_the_link_changes_the_address_once_and_the_session_at_hand_stays(client, ada, link):
    assert NEW in client.get(link).content.decode()
    ada.refresh_from_db()
    assert ada.email == "ada@acme.test"  # a look changes nothing
    assert client.post(link).url == "/profile/"
    ada.refresh_from_db()
    assert ada.email == NEW
    assert client.get("/profile/").status_code == 200
    assert client.post(link).url == "/profile/"
    assert EmailChange.objects.count() == 0


def test_both_addresses_get_a_mail_and_organisations_that_require_mfa_have_it_in_their_audit_log(
    client, ada, strict, link, django_capture_on_commit_callbacks
):
    clear_mails()
    with django_capture_on_commit_callbacks(execute=True):
        client.post(link)
    assert [sent.to[0] for sent in sent_mails()] == ["ada@acme.test", NEW]
    assert all("ada@acme.test" in sent.body and NEW in sent.body for sent in sent_mails())
    events = Event.objects.filter(action="email.changed", subject_id=ada.pk)
    assert {event.organisation_id for event in events} == {None, strict.pk}


def test_the_address_is_asked_for_in_a_stepped_up_session_alone(client, ada, link):
    expire_step_up()
    for path in (ASK, link):
        for method in (client.get, client.post):
            assert method(path, {"email": NEW}).url.startswith("/profile/security/confirm/")
    ada.refresh_from_db()
    assert ada.email == "ada@acme.test"


def test_a_taken_address_answers_as_a_free_one_and_only_its_owner_gets_a_mail(
    client, ada, acme, django_capture_on_commit_callbacks
):
    taken = member(acme, email="vic@acme.test")
    log_in(client, ada)
    answers = [client.post(ASK, {"email": email}, follow=True) for email in (NEW, taken.email)]
    texts = [answer.content.decode().replace(NEW, "?").replace(taken.email, "?") for answer in answers]
    assert re.sub(r'value="[^"]+"', "", texts[0]) == re.sub(r'value="[^"]+"', "", texts[1])
    assert (mail.outbox, Delivery.objects.count()) == ([], 2)  # the worker does the rest: it takes the same time
    with django_capture_on_commit_callbacks(execute=True):
        profile_tasks.send_email_change(ada.pk, ada.get_session_auth_hash(), taken.email)
    assert (sent_mails()[-1].to, EmailChange.objects.count()) == ([taken.email], 0)
    assert "/profile/email/" not in sent_mails()[-1].body


def test_an_address_taken_meanwhile_is_refused_without_saying_so(client, ada, acme, link):
    member(acme, email=NEW)
    answer = client.post(link, follow=True)
    assert "no longer works" in answer.content.decode()
    ada.refresh_from_db()
    assert ada.email == "ada@acme.test"


def test_a_link_is_for_the_person_who_asked(ada, acme, link):
    thief = Client()
    log_in(thief, member(acme, email="mallory@acme.test"))
    assert "no longer works" in thief.post(link, follow=True).content.decode()
    assert Client().post(link).url.startswith("/login/")
    assert EmailChange.objects.count() == 1


def test_a_link_ends_after_an_hour_with_a_new_password_and_with_a_later_link(
    client, ada, link, django_capture_on_commit_callbacks
):
    later = asked(ada, django_capture_on_commit_callbacks)
    assert client.get(link).url == "/profile/"
    assert client.get(later).status_code == 200
    client.post("/profile/security/password/", {"password": "New-Horse-9", "again": "New-Horse-9"})
    assert client.get(later).url == "/profile/"
    last = asked(ada, django_capture_on_commit_callbacks)
    assert client.get(last).status_code == 200
    EmailChange.objects.update(expires_at=F("expires_at") - timedelta(hours=1))
    assert client.get(last).url == "/profile/"


def test_other_sessions_pending_log_ins_and_mailed_codes_end(client, ada, link, django_capture_on_commit_callbacks):
    elsewhere, half = Client(), Client()
    log_in(elsewhere, ada)
    give_password(half, ada)
    with django_capture_on_commit_callbacks(execute=True):
        send_mailbox_code(ada, purpose=MailPurpose.STEP_UP, now=timezone.now())
    client.post(link)
    assert elsewhere.get("/profile/").status_code == 302
    assert half.post("/verify/", {"code": code()}).url == "/login/"
    assert ada.mailbox_codes.count() == 0


def test_a_password_link_of_the_old_address_ends(client, ada, link, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        password_tasks.send_password_reset(ada.email, "en")
    reset = re.findall(r"(/password/set/\S+)", sent_mails()[-1].body)[0]
    assert Client().get(reset).status_code == 200
    client.post(link)
    assert Client().get(reset).status_code == 410


def test_email_changed_then_password_reset_does_not_get_around_the_factor(
    client, ada, strict, link, django_capture_on_commit_callbacks
):
    client.post(link)
    with django_capture_on_commit_callbacks(execute=True):
        password_tasks.send_password_reset(NEW, "en")
    assert sent_mails()[-1].to == [NEW]
    reset = re.findall(r"(/password/set/\S+)", sent_mails()[-1].body)[0]
    thief = Client()
    thief.post(reset, {"password": "New-Horse-9", "again": "New-Horse-9"})
    assert thief.post("/login/", {"email": NEW, "password": "New-Horse-9"}).url == "/verify/"
    assert thief.get("/profile/security/").url.startswith("/login/")
    assert thief.get(ASK).url.startswith("/login/")


def test_somebody_without_a_password_changes_it_too(client, acme, django_capture_on_commit_callbacks):
    sam = member(acme, email="sam@acme.test", password=None)
    give_app(sam)
    log_in(client, sam)
    link = asked(sam, django_capture_on_commit_callbacks, "sam@new.test")
    client.post(link)
    sam.refresh_from_db()
    assert sam.email == "sam@new.test"


def test_malformed_addresses_and_the_own_address_are_refused(client, ada):
    log_in(client, ada)
    for typed in ("", "x", "ADA@acme.test", "a" * 250 + "@new.test"):
        assert client.post(ASK, {"email": typed}).status_code == 200
    assert Event.objects.filter(action="email.change_asked").count() == 0


def test_the_old_address_cannot_log_in_any_more(client, ada, link):
    client.post(link)
    stranger = Client()
    assert stranger.post("/login/", {"email": "ada@acme.test", "password": PASSWORD}).status_code == 200
    assert stranger.post("/login/", {"email": NEW, "password": PASSWORD}).url == "/verify/"


def test_the_profile_keeps_name_language_and_time_zone(client, ada):
    log_in(client, ada)
    typed = {"name": "Ada L.", "language": "nl", "time_zone": "Asia/Tokyo"}
    assert client.post("/profile/", typed).status_code == 302
    ada.refresh_from_db()
    assert (ada.name, ada.language, ada.time_zone) == ("Ada L.", "nl", "Asia/Tokyo")
    assert 'lang="nl"' in client.get("/profile/").content.decode()
    for wrong in ({"language": "xx"}, {"time_zone": "Mars/Olympus"}, {"name": "x" * 256}):
        assert client.post("/profile/", {**typed, **wrong}).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_people_who_take_one_address_at_once_one_reads_that_the_link_is_over(acme):
    links = {}
    for user in (member(acme), member(acme)):
        profile_tasks.send_email_change(user.pk, user.get_session_auth_hash(), NEW)
        links[user.pk] = re.findall(r"/profile/email/confirm/(\S+)/", sent_mails()[-1].body)[0]

    calls = [partial(email_change.confirm, User.objects.get(pk=pk), links[pk], now=timezone.now()) for pk in links]
    results = at_once(*calls, refused=email_change.LinkOver)
    assert sum(isinstance(result, email_change.LinkOver) for result in results) == 1
    assert User.objects.filter(email=NEW).count() == 1
