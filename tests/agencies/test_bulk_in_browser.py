"""The way from the table to the result of a bulk change in a browser, with its clicks counted."""

import re

import pytest
from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from playwright.sync_api import Locator, Page, expect

from agencies.bulk.services import run_bulk_change
from agencies.models import BulkChange
from environments.choices import Kind
from environments.models import Organisation
from tests.browser import log_in_page, set_cookie
from tests.factories import environment, member, organisation

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
MOST_CLICKS = 8


@pytest.fixture
def ada():
    """Ada administers Aurora, with ten environments of Bakker among sixty."""
    aurora = organisation(Kind.AGENCY, name="Aurora", slug="aurora")
    bakker = organisation(Kind.CUSTOMER, parent=aurora, name="Bakker", slug="bakker")
    for number in range(60):
        environment(parent=bakker if 20 <= number < 30 else aurora, name=f"Place {number}", slug=f"place-{number}")
    return member(aurora, email="ada@aurora.test")


class Clicks:
    """Counts what a person does with the mouse, or with Enter."""

    def __init__(self) -> None:
        self.count = 0

    def click(self, one: Locator, **how: object) -> None:
        self.count += 1
        one.click(**how)  # type: ignore[arg-type]

    def type(self, one: Locator, text: str) -> None:
        self.click(one)
        one.fill(text)


def finish(page: Page) -> BulkChange:
    """Do the job as its worker does, and wait until the page shows that it has ended."""
    expect(page.locator("#running")).to_be_visible()
    job = BulkChange.objects.latest("pk")
    run_bulk_change(job, seconds=60)
    expect(page.locator("#running")).to_have_count(0)
    return job


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("en", 390), ("nl", 1280), ("nl", 390)])
def test_ten_of_sixty_environments_get_a_limit_of_90_days_in_few_clicks_and_lose_it_again(page, ada, language, width):
    page.set_viewport_size({"width": width, "height": 900})
    set_cookie(page, settings.LANGUAGE_COOKIE_NAME, language)
    type(ada).objects.filter(pk=ada.pk).update(language=language)
    log_in_page(page, ada)
    page.goto("/aurora/environments/")
    main, clicks = page.get_by_role("main"), Clicks()
    with translation.override(language):
        clicks.type(main.get_by_role("searchbox"), "Bakker")
        page.keyboard.press("Enter")
        everything = "Change settings of all %(n)s…"
        clicks.click(main.get_by_role("button", name=ngettext(everything, everything, 10) % {"n": 10}))
        clicks.type(main.locator("[name=archive_after_days]"), "90")
        clicks.click(main.get_by_role("button", name=_("Preview…")))
        words = ngettext("Change %(n)s environment", "Change %(n)s environments", 10) % {"n": 10}
        clicks.click(main.get_by_role("button", name=words))
    finish(page)

    assert clicks.count <= MOST_CLICKS
    changed = Organisation.objects.filter(archive_after_days=90)
    assert set(changed.values_list("slug", flat=True)) == {f"place-{number}" for number in range(20, 30)}
    with translation.override(language):
        main.get_by_role("link", name=_("Revert…")).click()
        main.get_by_role("button", name=_("Revert the bulk change")).click()
    finish(page)
    assert not changed.exists()


def test_rows_are_chosen_one_by_one_up_to_another_and_all_at_once(page, ada):
    log_in_page(page, ada)
    page.goto("/aurora/environments/")
    main = page.get_by_role("main")
    chosen = main.locator("[data-picked] b")
    box = main.get_by_role("checkbox")
    expect(chosen).to_have_text("0")
    box.nth(3).click()
    box.nth(12).click(modifiers=["Shift"])
    expect(chosen).to_have_text("10")
    box.nth(5).click()
    expect(chosen).to_have_text("9")
    box.first.click()
    expect(chosen).to_have_text("50")
    box.first.click()
    expect(chosen).to_have_text("0")


def test_without_scripts_it_is_the_same_way(open_page, ada):
    page = open_page(java_script_enabled=False)
    log_in_page(page, ada)
    page.goto("/aurora/environments/?q=Bakker")
    main = page.get_by_role("main")
    expect(main.locator("[data-picks-all]")).to_be_hidden()
    main.get_by_role("checkbox").nth(0).check()
    main.get_by_role("checkbox").nth(1).check()
    main.get_by_role("button", name="Change settings of the chosen ones…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Change settings of 2 environments")
    main.locator("#id_archival_limit").check()
    main.locator("[name=archive_after_days]").fill("90")
    main.get_by_role("button", name="Preview…").click()
    expect(main).to_contain_text("Kept forever → 90 days")
    main.get_by_role("button", name="Change 2 environments").click()
    expect(main).to_contain_text("0 of 2 environments done")
    run_bulk_change(BulkChange.objects.get(), seconds=60)
    page.reload()
    expect(main.get_by_role("link", name="Revert…")).to_be_visible()
    assert Organisation.objects.filter(archive_after_days=90).count() == 2


def test_the_page_of_a_running_job_shows_the_result_by_itself_and_reverts_it(page, ada):
    log_in_page(page, ada)
    page.goto("/aurora/environments/change/?environment=place-1&archival=keep&require_mfa=")
    main = page.get_by_role("main")
    main.get_by_role("button", name="Change 1 environment").click()
    job = finish(page)
    assert Organisation.objects.get(slug="place-1").archival == "keep"
    main.get_by_role("link", name="Revert…").click()
    main.get_by_role("button", name="Revert").click()
    expect(page).to_have_url(re.compile(f"/changes/(?!{job.uuid})"))
    finish(page)
    assert Organisation.objects.get(slug="place-1").archival == "inherit"
