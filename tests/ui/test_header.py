"""The header as people use it: by mouse, by keyboard, and without script."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser import THEMES, log_in_page, screenshot, use_theme, violations
from tests.factories import environment, member, organisation

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.ui.urls")]


@pytest.fixture
def ada(db):
    agency = organisation(name="Noorderlicht Digital")
    for name in ("Maasborg Claims", "Eendracht Huurders", "Hoogveld Webshop en klantenservice Nederland en België"):
        environment(parent=agency, name=name)
    return member(agency, name="Femke de Vries", email="femke@noorderlicht.example")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [1280, 320])
def test_every_popover_is_accessible(page, ada, theme, width):
    log_in_page(page, ada)
    use_theme(page, theme)
    page.set_viewport_size({"width": width, "height": 700})
    page.goto("/components/")
    for opener, popover in (
        ("#switcher-button", "#switcher"),
        ("[popovertarget=theme]", "#theme"),
        ("[popovertarget=profile]", "#profile"),
    ):
        page.click(opener)
        expect(page.locator(popover)).to_be_visible()
        page.wait_for_load_state("networkidle")

        assert violations(page) == []

        screenshot(page, f"{popover[1:]}-{width}-{theme}")
        page.keyboard.press("Escape")
        expect(page.locator(popover)).to_be_hidden()


def test_the_switcher_works_by_keyboard_alone(page, ada):
    log_in_page(page, ada)
    page.goto("/components/")

    page.keyboard.press("Control+k")
    expect(page.locator("#switcher a.menu__item")).to_have_count(3)
    page.keyboard.type("eendr")
    expect(page.locator("#switcher a.menu__item")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    expect(page.locator("#switcher a.menu__item")).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")  # empties the search
    expect(page.locator("#switcher a.menu__item")).to_have_count(3)
    page.keyboard.press("Escape")

    expect(page.locator("#switcher")).to_be_hidden()


def test_everything_in_the_header_works_without_script(open_page, ada):
    page = open_page(java_script_enabled=False)
    log_in_page(page, ada)
    page.goto("/components/")

    page.click("#switcher-button")
    page.fill("#switcher [name=q]", "maasborg nothing")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("Nothing matches “maasborg nothing”.")

    page.click("[popovertarget=theme]")
    page.click("text=Dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")

    page.click("[popovertarget=profile]")
    page.click("text=Nederlands")
    expect(page.locator("html")).to_have_attribute("lang", "nl")
    assert re.search(r"/switch/\?q=maasborg", page.url)


def test_a_copy_button_copies(open_page, ada):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    log_in_page(page, ada)
    page.goto("/components/")

    page.click("[data-copy=link]")

    expect(page.locator("[data-copy=link]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "https://studio.example/invitation/x"


def test_the_first_tab_stop_leads_past_the_frame(page, ada):
    log_in_page(page, ada)
    page.goto("/components/")

    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.locator("main")).to_be_focused()
