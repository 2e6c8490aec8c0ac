"""The page of the advanced settings in a real browser: what is typed beside a choice, with and without script."""

import pytest
from playwright.sync_api import expect

from environments.choices import Role
from tests.browser import assert_accessible_here, log_in_page
from tests.factories import environment, member

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]
PAGE = "/acme/settings/advanced/"


@pytest.fixture
def acme():
    return environment(name="Acme", slug="acme")


@pytest.fixture
def ada(acme):
    return member(acme, Role.ADMINISTRATOR, email="ada@acme.test")


def test_typing_days_or_a_date_chooses_what_they_stand_beside(page, acme, ada):
    log_in_page(page, ada)
    page.goto(PAGE)
    page.locator("#id_archive_after_days").fill("30")
    expect(page.locator("#id_archival_limit")).to_be_checked()
    page.locator("#id_require_mfa_date").fill("2035-07-01")
    expect(page.locator("#id_require_mfa_on")).to_be_checked()
    page.get_by_role("button", name="Save…").click()
    expect(page.get_by_text("It is in effect now.")).to_be_visible()
    acme.refresh_from_db()
    assert acme.archive_after_days == 30


def test_without_script_the_page_names_both_choices_and_keeps_the_days(open_page, acme, ada):
    page = open_page(java_script_enabled=False)
    log_in_page(page, ada)
    page.goto(PAGE)
    page.locator("#id_archive_after_days").fill("30")
    page.get_by_role("button", name="Save…").click()
    expect(page.get_by_text("“30” stands beside Limit, but Inherit is chosen.")).to_be_visible()
    expect(page.locator("#id_archive_after_days")).to_have_value("30")
    page.locator("#id_archival_limit").check()
    page.get_by_role("button", name="Save…").click()
    expect(page.get_by_text("It is in effect now.")).to_be_visible()


def test_what_is_refused_is_accessible(page, ada):
    log_in_page(page, ada)
    page.goto(PAGE)
    page.locator("#id_archive_after_days").fill("30")
    page.locator("#id_archival_inherit").check()
    page.get_by_role("button", name="Save…").click()
    expect(page.get_by_text("“30” stands beside Limit")).to_be_visible()
    assert_accessible_here(page, "settings-refused")
