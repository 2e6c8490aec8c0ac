"""Saving after the step-up has ended, as an administrator walks it, with and without JavaScript."""

import pytest
from playwright.sync_api import expect

from environments.choices import Role
from environments.models import Organisation
from tests.browser import log_in_page, screenshot
from tests.factories import environment, member, organisation
from tests.logging_in import expire_step_up, next_code

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]
PAGE = "/acme/settings/advanced/"


@pytest.fixture
def acme(transactional_db):
    return environment(parent=organisation(name="Noorderlicht", slug="noorderlicht"), name="Acme", slug="acme")


@pytest.fixture
def ada(acme):
    return member(acme, Role.ADMINISTRATOR, email="ada@acme.test", name="Ada Lovelace")


def save_limit(page, days: str) -> None:
    page.locator("#id_archival_limit").check()
    page.locator("#id_archive_after_days").fill(days)
    page.get_by_role("button", name="Save…").click()


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_a_limit_is_saved_after_the_code_without_typing_it_again(open_page, acme, ada, script):
    page = open_page(java_script_enabled=script)
    log_in_page(page, ada)
    page.goto(PAGE)
    expire_step_up()
    save_limit(page, "200")
    page.get_by_label("Code").fill(next_code(ada))
    page.get_by_role("button", name="Confirm the code").click()
    if not script:
        expect(page.get_by_role("heading", name="Your identity is confirmed")).to_be_visible()
        screenshot(page, "go-on")
        page.get_by_role("button", name="Go on").click()

    expect(page.get_by_text("It is in effect now")).to_be_visible()
    assert Organisation.objects.get(pk=acme.pk).archive_after_days == 200


def test_cancelling_shows_what_was_typed(open_page, acme, ada):
    page = open_page()
    log_in_page(page, ada)
    page.goto(PAGE)
    expire_step_up()
    save_limit(page, "200")
    page.get_by_role("link", name="Cancel").click()

    expect(page.get_by_text("What you typed is still here.")).to_be_visible()
    expect(page.locator("#id_archive_after_days")).to_have_value("200")
    expect(page.locator("#id_archival_limit")).to_be_checked()
    screenshot(page, "typed-still-here")
