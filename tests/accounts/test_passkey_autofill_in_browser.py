"""Passkeys in the e-mail field of the log-in page, in Chromium with its virtual authenticator."""

from urllib.parse import urlsplit

import pytest
from django.contrib.sessions.models import Session
from django_otp_webauthn.models import WebAuthnCredential
from playwright.sync_api import Page, Route, expect

from accounts.models import SessionRecord, User
from tests.accounts.authenticator import Authenticator
from tests.accounts.conftest import require_mfa
from tests.browser import log_in_page
from tests.factories import PASSWORD, environment, member

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]
OFFER, BEGIN, COMPLETE = (f"/passkeys/authentication/{step}/" for step in ("offer", "begin", "complete"))
SECURITY = "/profile/security/"


@pytest.fixture
def strict_ada(transactional_db) -> User:
    acme = environment(name="Acme", slug="acme")
    require_mfa(acme)
    return member(acme, email="ada@acme.test", name="Ada Lovelace")


@pytest.fixture
def with_passkey(page, live_server, settings, strict_ada) -> Authenticator:
    """The authenticator of a browser that has a passkey of Ada, and no session."""
    settings.OTP_WEBAUTHN_RP_ID = "localhost"
    settings.OTP_WEBAUTHN_ALLOWED_ORIGINS = [live_server.url]
    authenticator = Authenticator(page)
    log_in_page(page, strict_ada)
    page.goto("/enrol/")
    page.locator("#passkey-register-button").click()
    page.wait_for_url(f"**{SECURITY}")
    page.context.clear_cookies()
    SessionRecord.objects.all().delete()
    return authenticator


def open_log_in(page: Page) -> None:
    with page.expect_response(f"**{OFFER}") as offered:
        page.goto(f"/login/?next={SECURITY}")
    assert offered.value.status == 200


def is_at_security(page: Page) -> bool:
    page.wait_for_url(lambda url: urlsplit(url).path == SECURITY)
    return True


def opened_by() -> list[str]:
    return list(SessionRecord.objects.values_list("opened_by", flat=True))


def test_a_passkey_that_is_chosen_in_the_email_field_logs_in(page, with_passkey):
    page.goto(f"/login/?next={SECURITY}")
    assert is_at_security(page)
    assert opened_by() == ["passkey"]


def test_the_button_works_while_an_offer_waits(page, with_passkey):
    with_passkey.answer(False)
    open_log_in(page)
    with page.expect_request(f"**{BEGIN}"):
        with_passkey.answer_to_the_button(page)
    assert is_at_security(page)
    assert opened_by() == ["passkey"]


def test_the_password_works_while_an_offer_waits(page, with_passkey):
    with_passkey.answer(False)
    open_log_in(page)
    page.get_by_label("E-mail").fill("ada@acme.test")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.wait_for_url("**/verify/")


def test_an_offer_ends_before_the_form_is_on_its_way(page, with_passkey):
    with_passkey.answer(False)
    ended: list[str] = []
    page.on("requestfailed", lambda request: ended.append(urlsplit(request.url).path))

    def send(form: Route) -> None:
        if not ended:
            page.wait_for_event("requestfailed", timeout=5_000)
        form.continue_()

    page.route(f"**{OFFER}", lambda offer: None)  # no answer, as long as the page lives
    page.route("**/login/", send)
    with page.expect_request(f"**{OFFER}"):
        page.goto(f"/login/?next={SECURITY}")
    page.get_by_label("E-mail").fill("ada@acme.test")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.wait_for_url("**/verify/")
    assert ended == [OFFER]


def test_a_visit_without_a_passkey_says_nothing(page, transactional_db):
    open_log_in(page)
    page.wait_for_timeout(500)
    expect(page.locator("#passkey-verification-status-message")).to_have_text("")
    page.goto("/password/reset/")  # and `page` finds no error in the console


def test_a_choice_after_the_session_has_expired_is_offered_again(page, with_passkey):
    offers = []
    page.on("request", lambda request: offers.append(request.url) if request.url.endswith(OFFER) else None)

    def expire(route):
        Session.objects.all().delete()
        route.continue_()

    page.route(f"**{COMPLETE}*", expire, times=1)
    page.goto(f"/login/?next={SECURITY}")

    assert is_at_security(page)
    assert len(offers) == 2


def test_a_passkey_that_was_removed_is_refused_in_words(page, with_passkey):
    WebAuthnCredential.objects.all().delete()
    page.goto("/login/")
    expect(page.locator("#passkey-verification-status-message")).not_to_have_text("")
    assert opened_by() == []
