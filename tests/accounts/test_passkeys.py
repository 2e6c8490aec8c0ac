"""Passkeys in a real Chromium with its virtual authenticator, and the ways around them without one."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django_otp_webauthn.models import WebAuthnCredential
from playwright.sync_api import Page, expect

from accounts.models import RecoveryCode, SessionRecord, User
from tests.accounts.authenticator import Authenticator
from tests.accounts.conftest import MAILED_CODE, require_mfa
from tests.accounts.soft_passkey import SoftPasskey
from tests.factories import PASSWORD, environment, member
from tests.logging_in import give_app, give_password, log_in
from tests.mailbox import sent_mails

in_browser = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]


def marked(function: Callable[..., None]) -> Callable[..., None]:
    for mark in in_browser:
        function = mark(function)
    return function


@pytest.fixture
def strict_ada(request) -> User:
    request.getfixturevalue("transactional_db")
    acme = environment(name="Acme", slug="acme")
    require_mfa(acme)
    return member(acme, email="ada@acme.test", name="Ada Lovelace")


@pytest.fixture
def secure(live_server, settings):
    settings.OTP_WEBAUTHN_RP_ID = "localhost"
    settings.OTP_WEBAUTHN_ALLOWED_ORIGINS = [live_server.url]


def type_password(page: Page, user: User) -> None:
    page.goto("/login/?next=/profile/security/")
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()


def log_out(page: Page) -> None:
    page.context.clear_cookies()


@marked
def test_a_passkey_is_enrolled_in_a_forced_log_in_and_then_opens_the_door_both_ways(page, secure, strict_ada):
    authenticator = Authenticator(page)
    type_password(page, strict_ada)
    page.get_by_label("Code from the e-mail").fill(MAILED_CODE.findall(sent_mails()[-1].body)[0])
    page.get_by_role("button", name="Continue").click()
    page.locator("#passkey-register-button").click()
    page.wait_for_url("**/profile/security/recovery-codes/**")
    page.get_by_role("button", name="Show the codes").click()
    expect(page.locator("#codes li")).to_have_count(10)
    assert WebAuthnCredential.objects.get().user == strict_ada

    log_out(page)
    authenticator.answer(False)  # or the offer in the e-mail field logs in at once
    type_password(page, strict_ada)
    page.wait_for_url("**/verify/")
    authenticator.answer(True)
    page.locator("#passkey-verification-button").click()
    page.wait_for_url(lambda url: urlsplit(url).path == "/profile/security/")
    assert SessionRecord.objects.latest("pk").opened_by == "password"

    log_out(page)
    authenticator.answer(False)
    page.goto("/login/?next=/profile/security/")
    authenticator.answer_to_the_button(page)
    page.wait_for_url(lambda url: urlsplit(url).path == "/profile/security/")
    opened = SessionRecord.objects.latest("pk")
    assert (opened.opened_by, bool(opened.factor_at)) == ("passkey", True)


@marked
@pytest.mark.way("Traps of the libraries: a passkey without user verification as a whole log-in")
def test_a_passkey_alone_opens_nothing_without_user_verification(chrome, live_server, secure, strict_ada):
    context = chrome.new_context(base_url=live_server.url)  # the console may complain: the browser refuses
    page = context.new_page()
    try:
        authenticator = Authenticator(page)
        type_password(page, strict_ada)
        page.get_by_label("Code from the e-mail").fill(MAILED_CODE.findall(sent_mails()[-1].body)[0])
        page.get_by_role("button", name="Continue").click()
        page.locator("#passkey-register-button").click()
        page.wait_for_url("**/profile/security/recovery-codes/**")
        log_out(page)
        authenticator.verify_user(False)
        page.goto("/login/?next=/profile/security/")
        page.locator("#passkey-verification-button").click()
        page.locator("#passkey-verification-status-message.visible").wait_for()
        assert urlsplit(page.url).path == "/login/"
        assert SessionRecord.objects.filter(opened_by="passkey").count() == 0
    finally:
        context.close()


BEGIN, COMPLETE = "/passkeys/registration/begin/", "/passkeys/registration/complete/"


@pytest.mark.parametrize("path", [BEGIN, COMPLETE])
@pytest.mark.way("Enrolment: the thief enrols a passkey first")
def test_the_thief_cannot_enrol_a_passkey_without_the_mailbox(client, ada, strict, path):
    assert client.post(path).status_code == 403
    give_password(client, ada)
    assert client.post(path).status_code == 403
    assert WebAuthnCredential.objects.count() == 0


@pytest.mark.parametrize("path", [BEGIN, COMPLETE])
@pytest.mark.way("Enrolment: the thief enrols a passkey first")
def test_the_thief_cannot_add_a_passkey_beside_the_owners_app(client, ada, strict, path):
    give_app(ada)
    give_password(client, ada)
    assert client.post(path).status_code == 403


def test_a_further_passkey_needs_a_stepped_up_session(client, ada):
    log_in(client, ada)
    assert client.post(BEGIN).status_code == 200
    SessionRecord.objects.update(stepped_up_at=None)
    assert client.post(BEGIN).status_code == 403
    assert client.post(COMPLETE).status_code == 403


@pytest.mark.way("Enrolment: the thief enrols a passkey first")
def test_a_password_session_without_any_factor_needs_the_mailbox_too(client, ada):
    give_password(client, ada)
    assert client.post(BEGIN).status_code == 403


@pytest.mark.way("Traps of the libraries: a passkey without user verification as a whole log-in")
def test_a_challenge_of_a_second_factor_does_not_serve_as_a_whole_log_in(client, ada, strict):
    give_app(ada)
    give_password(client, ada)
    assert client.post("/passkeys/authentication/begin/").status_code == 200
    session = client.session
    del session["studio_pending_login"]  # as when its five minutes are over
    session.save()
    answer = client.post("/passkeys/authentication/complete/", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_state")


def test_strangers_can_register_nothing_and_learn_nothing(db):
    stranger = Client()
    assert stranger.post(BEGIN).status_code == 403
    begun = stranger.post("/passkeys/authentication/begin/")
    assert begun.json().get("allowCredentials", []) == []
    assert RecoveryCode.objects.count() == 0


@pytest.mark.parametrize("ceremony", ["registration", "authentication"])
@pytest.mark.parametrize("step", ["begin", "complete"])
@pytest.mark.parametrize("body", [b"[" * 9000, b'{"id": "\xff"}', b"[]", b"null", b'"x"', b"{", b'{"id": "\\ud800"}'])
def test_a_body_that_is_no_answer_of_a_browser_is_refused(client, ada, ceremony, step, body):
    log_in(client, ada)
    client.post(f"/passkeys/{ceremony}/begin/")
    answer = client.post(f"/passkeys/{ceremony}/{step}/", body, content_type="application/json")
    assert answer.status_code < 500
    assert not WebAuthnCredential.objects.exists()


def test_a_passkey_with_somebody_elses_credential_id_is_refused_in_words(client, ada, acme):
    theirs, browser = SoftPasskey(), Client()
    log_in(browser, member(acme, email="vic@acme.test"))
    assert theirs.complete(browser, "registration").status_code == 200

    log_in(client, ada)
    answer = SoftPasskey(credential_id=theirs.credential_id).complete(client, "registration")

    assert (answer.status_code, answer.json()["code"]) == (400, "credential_taken")
    assert WebAuthnCredential.objects.get().user.email == "vic@acme.test"
    assert SoftPasskey().complete(client, "registration").status_code == 200  # and nothing is broken by it


def test_a_passkey_that_is_registered_already_is_refused_in_the_same_words(client, ada):
    key = SoftPasskey()
    log_in(client, ada)
    key.complete(client, "registration")
    assert key.complete(client, "registration").status_code == 400
    assert WebAuthnCredential.objects.count() == 1
