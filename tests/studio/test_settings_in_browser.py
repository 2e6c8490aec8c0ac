"""The page of the advanced settings in a real browser: what is typed beside a choice, with and without script."""

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from environments.choices import Role
from tests.browser import assert_accessible_here, log_in_page
from tests.factories import conversation, environment, member

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]
PAGE = "/acme/settings/advanced/"


@pytest.fixture
def acme():
    return environment(name="Acme", slug="acme")


@pytest.fixture
def ada(acme):
    return member(acme, Role.ADMINISTRATOR, email="ada@acme.test")


def test_typing_days_or_a_date_chooses_what_they_go_with(page, acme, ada):
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
    expect(page.get_by_text("“30” goes with Limit, but Inherit is chosen.")).to_be_visible()
    expect(page.locator("#id_archive_after_days")).to_have_value("30")
    page.locator("#id_archival_limit").check()
    page.get_by_role("button", name="Save…").click()
    expect(page.get_by_text("It is in effect now.")).to_be_visible()


def test_each_setting_reads_in_one_screen_with_its_button_and_the_chart_above_it(page, acme, ada):
    for number in range(12):
        member(acme, Role.MEMBER)
        conversation(of=acme, days_ago=[number * 9, number * 5], now=timezone.now())
    log_in_page(page, ada)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(PAGE)
    page.get_by_role("heading", name="Messages by age").wait_for()
    header = page.locator("header").first.bounding_box()["height"]
    for setting in page.locator(".setting").all():
        top = setting.get_by_role("heading", level=2).bounding_box()["y"]
        bar = setting.locator(".form-bar")
        bottom = bar.evaluate("bar => { bar.style.position = 'static'; return bar.getBoundingClientRect().bottom }")
        assert bottom - top <= 800 - header
    archival = page.locator(".setting").last
    assert archival.locator("svg.chart").bounding_box()["y"] < archival.locator(".form-bar").bounding_box()["y"]


def test_both_dates_stand_alike(page, acme, ada):
    log_in_page(page, ada)
    page.goto(PAGE)
    rows = [row.bounding_box() for row in page.locator(".choices > .choices__from:last-child").all()]
    assert len(rows) == 2
    assert rows[0]["x"] == rows[1]["x"]
    inputs = [page.locator(f"#id_{name}_date").bounding_box() for name in ("require_mfa", "archival")]
    assert [inputs[0][side] for side in ("x", "width", "height")] == [
        inputs[1][side] for side in ("x", "width", "height")
    ]


def test_on_a_phone_the_button_says_how_much_is_deleted_and_is_in_view(page, acme, ada):
    for number in range(3):
        conversation(of=acme, days_ago=60 + number, now=timezone.now())
    log_in_page(page, ada)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(PAGE)
    page.locator("#id_archive_after_days").fill("30")
    page.get_by_role("button", name="Save…").click()
    expect(page.get_by_role("button", name="Save: permanently delete 3 conversations")).to_be_in_viewport(ratio=1)


def test_the_people_without_a_factor_are_shown_in_place_and_what_is_typed_stays(page, acme, ada):
    for number in range(12):
        member(acme, Role.MEMBER, email=f"person-{number:02}@acme.test")
    log_in_page(page, ada)
    page.goto(PAGE)
    page.locator("#id_archive_after_days").fill("30")
    page.get_by_role("link", name="Show the 12 people without a second factor").click()
    expect(page.get_by_text("person-09@acme.test")).to_be_visible()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("person-11@acme.test")).to_be_visible()
    expect(page.locator("#id_archive_after_days")).to_have_value("30")
    assert_accessible_here(page, "settings-people")
