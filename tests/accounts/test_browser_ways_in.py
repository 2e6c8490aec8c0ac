"""Every way to log in and to step up, walked in a real browser: with and without JavaScript, and by keyboard alone."""

import base64
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import SessionRecord, User
from tests.accounts.authenticator import Authenticator
from tests.accounts.conftest import MAILED_CODE, require_mfa
from tests.browser import VISITOR, assert_accessible_here, shown_codes
from tests.factories import PASSWORD, environment, member
from tests.logging_in import code, give_app, next_code
from tests.mailbox import sent_mails

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]
with_and_without_script = pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
SECURITY, CONFIRM = "/profile/security/", "**/profile/security/confirm/**"


@pytest.fixture
def ada(transactional_db) -> User:
    return member(environment(name="Acme", slug="acme"), email="ada@acme.test", name="Ada Lovelace")


@pytest.fixture
def strict_ada(ada) -> User:
    require_mfa(ada.memberships.get().organisation)
    return ada


@pytest.fixture
def secure(live_server, settings):
    settings.OTP_WEBAUTHN_RP_ID = "localhost"
    settings.OTP_WEBAUTHN_ALLOWED_ORIGINS = [live_server.url]


@pytest.fixture
def abroad(chrome: Browser, live_server: LiveServer) -> Iterator[object]:
    """Return a function that opens a page which may also ask another host: the provider."""
    contexts = []

    def open_one(*, script: bool) -> Page:
        contexts.append(chrome.new_context(base_url=live_server.url, **VISITOR, java_script_enabled=script))
        return contexts[-1].new_page()

    yield open_one
    for context in contexts:
        context.close()


def give_password(page: Page, user: User) -> None:
    page.goto(f"/login/?next={SECURITY}")
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()


def mailed_code() -> str:
    return MAILED_CODE.findall(sent_mails()[-1].body)[0]


def at_provider(page: Page, sub: str) -> None:
    page.fill("[name=sub]", sub)
    page.click("form:has([name=sub]) >> text=Authorize")


def is_at(page: Page, path: str) -> bool:
    page.wait_for_url(lambda url: urlsplit(url).path == path)
    return True


def ask_to_step_up(page: Page) -> None:
    SessionRecord.objects.update(stepped_up_at=None)
    page.goto(f"{SECURITY}password/")
    page.wait_for_url(CONFIRM)


@with_and_without_script
def test_a_provider_logs_in_and_a_fresh_round_trip_steps_up(abroad, strict_ada, provider, idp, script):
    User.objects.update(password="!")  # she comes by the provider alone
    strict_ada.social_auth.create(provider="oidc-acme", uid="ada", id_key="sub")
    claims = {"email": strict_ada.email, "auth_time": int(time.time()) - 3600}
    requests.put(f"{idp}/users/ada", json=claims, timeout=5).raise_for_status()
    page = abroad(script=script)
    page.goto(f"/login/?next={SECURITY}")
    page.click("#sso-acme")
    at_provider(page, "ada")
    assert is_at(page, SECURITY)
    page.goto(f"{SECURITY}recovery-codes/")
    page.wait_for_url(CONFIRM)
    if script:
        assert_accessible_here(page, "step-up-sso")
    requests.put(f"{idp}/users/ada", json=claims | {"auth_time": int(time.time())}, timeout=5).raise_for_status()
    page.get_by_role("button", name="Log in again with Acme").click()
    at_provider(page, "ada")
    page.wait_for_url(lambda url: "confirm" not in url and "localhost" in url and "/sso/" not in url)
    assert SessionRecord.objects.get().stepped_up_at is not None
    assert "confirm" not in page.goto(f"{SECURITY}recovery-codes/").url


@with_and_without_script
def test_a_code_of_the_app_steps_up(open_page, strict_ada, script):
    give_app(strict_ada)
    page = open_page(java_script_enabled=script)
    give_password(page, strict_ada)
    page.get_by_label("6-digit code").fill(code())
    page.get_by_role("button", name="Verify").click()
    assert is_at(page, SECURITY)
    ask_to_step_up(page)
    page.get_by_label("6-digit code").fill("000000")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("That code was not right")).to_be_visible()
    page.get_by_label("6-digit code").fill(next_code(strict_ada))
    page.get_by_role("button", name="Confirm").click()
    assert is_at(page, f"{SECURITY}password/")


@with_and_without_script
def test_without_a_factor_the_password_and_a_mailed_code_step_up(open_page, ada, script):
    page = open_page(java_script_enabled=script)
    give_password(page, ada)
    assert is_at(page, SECURITY)
    ask_to_step_up(page)
    page.get_by_role("button", name="Send the code").click()
    expect(page.get_by_text("We sent you a code.")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Code from the e-mail").fill(mailed_code())
    page.get_by_label("Code from the e-mail").press("Enter")  # which must confirm, and not send another code
    assert is_at(page, f"{SECURITY}password/")
    assert len(sent_mails()) == 1


def enrol_passkey(page: Page, user: User) -> None:
    give_password(page, user)
    page.get_by_label("Code from the e-mail").fill(mailed_code())
    page.get_by_role("button", name="Continue").click()
    page.locator("#passkey-register-button").click()
    page.wait_for_url("**/profile/security/recovery-codes/**")


def test_a_passkey_steps_up(open_page, secure, strict_ada):
    page = open_page()
    Authenticator(page)
    enrol_passkey(page, strict_ada)
    ask_to_step_up(page)
    expect(page.get_by_label("6-digit code")).to_have_count(0)  # she has no app to ask
    assert_accessible_here(page, "step-up-passkey")
    page.locator("#passkey-verification-button").click()
    assert is_at(page, f"{SECURITY}password/")


def test_without_script_the_pages_say_that_passkeys_need_it_and_offer_another_way(open_page, secure, strict_ada):
    first = open_page()
    Authenticator(first)
    enrol_passkey(first, strict_ada)
    first.get_by_role("button", name="Show the codes").click()
    codes = shown_codes(first)

    page = open_page(java_script_enabled=False)
    page.goto("/login/")
    expect(page.get_by_text("Passkeys need JavaScript")).to_be_visible()
    give_password(page, strict_ada)
    expect(page.get_by_text("Passkeys need JavaScript")).to_be_visible()
    page.get_by_role("link", name="Use a recovery code").click()
    expect(page.get_by_role("link", name="Use your passkey")).to_be_visible()
    page.get_by_label("Recovery code").fill(codes[0])
    page.get_by_role("button", name="Verify").click()
    assert is_at(page, SECURITY)
    ask_to_step_up(page)
    expect(page.get_by_text("log in with a recovery code")).to_be_visible()


def test_without_script_enrolment_offers_the_app_and_says_what_the_passkey_lacks(open_page, strict_ada):
    page = open_page(java_script_enabled=False)
    give_password(page, strict_ada)
    page.get_by_label("Code from the e-mail").fill(mailed_code())
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("You can add a passkey instead, but that needs JavaScript.")).to_be_visible()
    expect(page.get_by_label("Code that the app shows")).to_be_visible()


def test_enrolment_takes_three_submits(open_page, strict_ada):
    page = open_page()
    submits = []
    page.on("request", lambda request: submits.append(request.url) if request.method == "POST" else None)
    give_password(page, strict_ada)
    page.get_by_label("Code from the e-mail").fill(mailed_code())
    page.get_by_role("button", name="Continue").click()
    key = base64.b32decode(page.locator("#secret").inner_text().replace(" ", ""))
    page.get_by_label("Code that the app shows").fill("000000")
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Code that the app shows").fill(code(key=key))
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator("#codes li")).to_have_count(10)
    expect(page.get_by_role("button", name="Print")).to_be_visible()
    assert len([url for url in submits if "passkeys" not in url]) - 1 == 3  # the wrong code was one too many


def test_a_password_can_be_shown_and_is_hidden_again_when_it_is_sent(page, ada):
    page.goto("/login/")
    field, show = page.locator("[name=password]"), page.get_by_role("button", name="Show Password")
    page.get_by_label("E-mail").fill(ada.email)
    page.get_by_label("Password").fill(PASSWORD)
    show.click()
    expect(field).to_have_attribute("type", "text")
    assert_accessible_here(page, "login-shown")
    page.get_by_role("button", name="Hide Password").click()
    expect(field).to_have_attribute("type", "password")
    show.click()
    page.evaluate("document.addEventListener('submit', (event) => event.preventDefault())")
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(field).to_have_attribute("type", "password")


def test_without_script_no_button_offers_to_show_a_password(open_page):
    page = open_page(java_script_enabled=False)
    page.goto("/login/")
    expect(page.get_by_label("Password")).to_be_visible()
    expect(page.get_by_role("button", name="Show")).to_have_count(0)


def test_the_secret_of_the_app_can_be_copied(page, strict_ada):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    give_password(page, strict_ada)
    page.get_by_label("Code from the e-mail").fill(mailed_code())
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Copy the secret").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#secret").inner_text().replace(" ", "")


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus; a mouse is never used."""
    for _press in range(60):
        if page.locator(selector).first.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches {selector}")


def test_the_keyboard_alone_enrols_logs_in_and_steps_up(open_page, strict_ada):
    page = open_page()
    page.goto(f"/login/?next={SECURITY}")
    tab_to(page, "[name=email]")
    page.keyboard.type(strict_ada.email)
    tab_to(page, "[name=password]")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    assert is_at(page, "/enrol/")
    tab_to(page, "[name=mailcode]")
    page.keyboard.type(mailed_code())
    page.keyboard.press("Enter")
    page.locator("#secret").wait_for()
    key = base64.b32decode(page.locator("#secret").inner_text().replace(" ", ""))
    tab_to(page, "[name=appcode]")
    page.keyboard.type(code(key=key))
    page.keyboard.press("Enter")
    page.locator("#codes").wait_for()
    tab_to(page, "#kept")
    page.keyboard.press("Space")
    tab_to(page, "form:has(#kept) .button--primary")
    page.keyboard.press("Enter")
    assert is_at(page, SECURITY)
    ask_to_step_up(page)
    tab_to(page, "[name=code]")
    page.keyboard.type(next_code(strict_ada, key=key))
    page.keyboard.press("Enter")
    assert is_at(page, f"{SECURITY}password/")


def test_the_keyboard_alone_uses_a_passkey(open_page, secure, strict_ada):
    page = open_page()
    authenticator = Authenticator(page)
    enrol_passkey(page, strict_ada)
    page.context.clear_cookies()
    authenticator.answer(False)  # or the offer in the e-mail field logs in at once
    page.goto(f"/login/?next={SECURITY}")
    tab_to(page, "#passkey-verification-button")
    authenticator.answer(True)
    page.keyboard.press("Enter")
    assert is_at(page, SECURITY)
