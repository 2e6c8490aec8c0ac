"""The way in as people walk it, in a real browser, with and without JavaScript."""

import base64

import pytest
from playwright.sync_api import expect

from accounts.models import User
from tests.accounts.conftest import MAILED_CODE, require_mfa
from tests.browser import shown_codes
from tests.factories import PASSWORD, environment, member
from tests.logging_in import code, next_code
from tests.mailbox import sent_mails

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]


@pytest.fixture
def ada(transactional_db) -> User:
    acme = environment(name="Acme", slug="acme")
    require_mfa(acme)
    return member(acme, email="ada@acme.test", name="Ada Lovelace")


def give_password(page, user: User) -> None:
    page.goto("/login/?next=/profile/security/")
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_forced_enrolment_then_log_in_with_the_app_and_with_a_recovery_code(open_page, ada, script):
    page = open_page(java_script_enabled=script)
    give_password(page, ada)
    expect(page.get_by_text("Acme requires multi-factor authentication.")).to_be_visible()
    page.get_by_label("Code from the e-mail").fill(MAILED_CODE.findall(sent_mails()[-1].body)[0])
    page.get_by_role("button", name="Continue").click()
    key = base64.b32decode(page.locator("#secret").inner_text().replace(" ", ""))
    expect(page.locator(".qr svg")).to_be_visible()
    page.get_by_label("Name of this device").fill("Pixel")
    page.get_by_label("Code that the app shows").fill(code(key=key))
    page.get_by_role("button", name="Confirm").click()
    codes = shown_codes(page)
    page.get_by_label("I have saved these codes").check()
    page.get_by_role("button", name="Continue to Studio").click()
    page.wait_for_url("**/profile/security/")
    expect(page.get_by_text("Pixel").first).to_be_visible()

    again = open_page(java_script_enabled=script)
    give_password(again, ada)
    again.get_by_label("6-digit code").fill(next_code(ada, key=key))
    again.get_by_role("button", name="Verify").click()
    again.wait_for_url("**/profile/security/")

    third = open_page(java_script_enabled=script)
    give_password(third, ada)
    third.get_by_role("link", name="Use a recovery code").click()
    third.get_by_label("Recovery code").fill(codes[0])
    third.get_by_role("button", name="Verify").click()
    third.wait_for_url("**/profile/security/")
    expect(third.get_by_text("9 of 10 left")).to_be_visible()
