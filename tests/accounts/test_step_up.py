"""Sensitive acts need a proof of presence from the last ten minutes."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import tasks
from accounts.factors import services as factors
from accounts.models import RecoveryCode, SessionRecord, TotpDevice
from tests.accounts.conftest import require_mfa
from tests.factories import PASSWORD, member
from tests.logging_in import code, give_app, give_password, log_in
from tests.mailbox import sent_mails

SENSITIVE = [
    ("get", "/profile/security/password/", {}),
    ("post", "/profile/security/password/", {"password": "New-Horse-9", "again": "New-Horse-9"}),
    ("post", "/profile/security/recovery-codes/", {}),
    ("post", "/profile/security/factors/remove/", {"device": "accounts.totpdevice/1"}),
    ("post", "/profile/security/identities/unlink/", {"identity": "1"}),
]


def age(minutes: int) -> None:
    SessionRecord.objects.update(stepped_up_at=timezone.now() - timedelta(minutes=minutes))


@pytest.mark.parametrize(("method", "path", "typed"), SENSITIVE)
def test_sensitive_acts_are_refused_ten_minutes_after_the_factor(client, ada, method, path, typed):
    log_in(client, ada)
    age(minutes=10)
    answer = getattr(client, method)(path, typed)
    assert answer.url.startswith("/profile/security/confirm/")
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)
    assert TotpDevice.objects.count() == 1
    assert RecoveryCode.objects.count() == 0


def test_a_code_of_the_app_steps_up_and_leads_back(client, ada):
    log_in(client, ada)
    age(minutes=11)
    answer = client.post("/profile/security/confirm/", {"code": code(), "next": "/profile/security/password/"})
    assert answer.url == "/profile/security/password/"
    assert client.get("/profile/security/password/").status_code == 200


@pytest.mark.way("Tokens and recovery: step-up with the password alone")
def test_the_password_alone_does_not_step_up(client, ada):
    give_password(client, ada)
    client.post("/profile/security/confirm/", {"password": PASSWORD, "mailcode": ""})
    client.post("/profile/security/confirm/", {"password": PASSWORD, "mailcode": "000000"})
    assert client.get("/profile/security/password/").status_code == 302


def test_without_a_factor_the_password_and_a_mailed_code_step_up(client, ada, mailed):
    give_password(client, ada)
    mailcode = mailed(lambda: client.post("/profile/security/confirm/", {"do": "send"}))
    client.post("/profile/security/confirm/", {"password": "Wrong-Horse-9", "mailcode": mailcode})
    assert client.get("/profile/security/password/").status_code == 302
    client.post("/profile/security/confirm/", {"password": PASSWORD, "mailcode": mailcode})
    assert client.get("/profile/security/password/").status_code == 200


def test_a_mailed_code_does_not_step_up_whoever_has_a_factor(client, ada, mailed):
    log_in(client, ada)
    age(minutes=11)
    client.post("/profile/security/confirm/", {"do": "send"})
    assert sent_mails() == []
    client.post("/profile/security/confirm/", {"password": PASSWORD, "mailcode": "000000"})
    assert client.get("/profile/security/password/").status_code == 302


@pytest.mark.way("Enrolment: another user's device")
def test_another_users_device_cannot_be_removed_or_renamed(client, ada, acme):
    theirs = give_app(member(acme, email="vic@acme.test"), key=b"another twenty bytes")
    log_in(client, ada)
    for path in ("remove", "rename"):
        client.post(f"/profile/security/factors/{path}/", {"device": theirs.persistent_id, "name": "mine"})
    theirs.refresh_from_db()
    assert theirs.name == "Phone"


@pytest.mark.way("Tokens and recovery: the last factor removed while it is required")
def test_the_last_factor_stays_while_it_is_required(client, ada, strict):
    device = log_in(client, ada)
    client.post("/profile/security/factors/remove/", {"device": device.persistent_id})
    assert TotpDevice.objects.count() == 1
    require_mfa(strict, "off")
    client.post("/profile/security/factors/remove/", {"device": device.persistent_id})
    assert TotpDevice.objects.count() == 0


def test_no_page_offers_to_remove_a_factor_that_is_needed(client, ada, strict):
    device = log_in(client, ada)
    asked = {"device": device.persistent_id}
    needed = client.get("/profile/security/factors/remove/", asked).content.decode()
    assert "Add another one first" in needed
    assert "you log in with your password alone" not in needed
    require_mfa(strict, "off")
    assert (
        "you log in with your password alone" in client.get("/profile/security/factors/remove/", asked).content.decode()
    )


@pytest.mark.way("Enrolment: a GET with side effects")
def test_getting_the_page_removes_nothing(client, ada):
    device = log_in(client, ada)
    assert client.get("/profile/security/factors/remove/", {"device": device.persistent_id}).status_code == 200
    assert TotpDevice.objects.count() == 1


def test_a_new_password_ends_every_other_session_and_keeps_this_one(client, ada):
    other = Client()
    log_in(other, ada)
    log_in(client, ada)
    client.post("/profile/security/password/", {"password": "New-Horse-9", "again": "New-Horse-9"})
    assert client.get("/profile/security/").status_code == 200
    assert other.get("/profile/security/").status_code == 302


@pytest.mark.parametrize("weak", ["Short-9", "no-upper-case-9", "NO-LOWER-CASE-9", "No-Digits-Here", "Password1"])
def test_weak_passwords_are_refused(client, ada, weak):
    log_in(client, ada)
    client.post("/profile/security/password/", {"password": weak, "again": weak})
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)


def test_one_session_and_all_others_can_be_ended(client, ada, acme):
    others = [Client(), Client()]
    for other in others:
        give_password(other, ada)
    give_password(client, ada)
    theirs = Client()
    give_password(theirs, member(acme, email="vic@acme.test"))
    first = SessionRecord.objects.order_by("pk").first()
    client.post("/profile/security/sessions/end/", {"session": first.pk})
    assert [other.get("/profile/security/").status_code for other in others] == [302, 200]
    client.post("/profile/security/sessions/end-others/")
    assert [other.get("/profile/security/").status_code for other in others] == [302, 302]
    assert client.get("/profile/security/").status_code == theirs.get("/profile/security/").status_code == 200


@pytest.mark.parametrize("number", ["", "x", "-1", "²", "٣", "9" * 30, "9" * 5000])
def test_an_unknown_session_number_ends_no_session(client, ada, number):
    log_in(client, ada)
    assert client.post("/profile/security/sessions/end/", {"session": number}).status_code == 404
    assert SessionRecord.objects.open().count() == 1


def test_a_session_whose_cookie_ran_out_is_no_longer_listed(client, ada, settings):
    log_in(client, ada)
    for days, is_open in ((13, True), (15, False)):
        seen = timezone.now() - timedelta(days=days)
        ada.sessions.update(last_seen_at=seen)
        tasks.clear_sessions()
        assert ada.sessions.open().exists() == is_open
    assert ada.sessions.get().ended_why == "expired"


def test_nobody_ends_somebody_elses_session(client, ada, acme):
    theirs = Client()
    give_password(theirs, member(acme, email="vic@acme.test"))
    give_password(client, ada)
    client.post("/profile/security/sessions/end/", {"session": SessionRecord.objects.order_by("pk").first().pk})
    assert theirs.get("/profile/security/").status_code == 200


@pytest.mark.way("Tokens and recovery: CSRF")
def test_forms_need_their_csrf_token(ada):
    visitor = Client(enforce_csrf_checks=True)
    assert visitor.post("/login/", {"email": ada.email, "password": PASSWORD}).status_code == 403
    assert visitor.post("/logout/").status_code == 403
    assert visitor.post("/sso/login/oidc-acme/").status_code == 403


def test_the_security_page_says_what_happened_in_the_readers_language(client, ada):
    give_app(ada)
    ada.language = "nl"
    ada.save()
    raw = factors.make_recovery_codes(ada, now=timezone.now())[0]
    give_password(client, ada)
    client.post("/verify/", {"with": "recovery", "code": raw})
    page = client.get("/profile/security/").content.decode()
    assert "Ingelogd: wachtwoord" in page
    assert "Herstelcode gebruikt: 9 over" in page


def test_pages_of_somebody_without_a_password_do_not_mention_one(client, ada):
    ada.set_unusable_password()
    ada.save(update_fields=["password"])
    device = log_in(client, ada)
    pages = [client.get("/profile/security/factors/remove/", {"device": device.persistent_id})]
    TotpDevice.objects.filter(user=ada).delete()
    client.force_login(ada)
    pages.append(client.get("/profile/security/"))
    assert [page.status_code for page in pages] == [200, 200]
    assert not [page for page in pages if "your password" in page.content.decode()]
