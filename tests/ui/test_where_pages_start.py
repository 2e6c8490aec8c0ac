"""Where pages start: at one place with and without a side bar, and a log-in page as far below the top."""

import pytest
from playwright.sync_api import Page

from tests.browser import THEMES, log_in_page, screenshot, use_theme
from tests.factories import environment, member

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def start_of(page: Page, path: str) -> tuple[int, int]:
    """Return from where, in pixels from the left and the top, the page's own content begins."""
    page.goto(path)
    box = page.locator("main > *").first.bounding_box()
    assert box is not None
    return round(box["x"]), round(box["y"])


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_with_and_without_a_side_bar_start_at_the_same_place(page, width):
    ada = member(environment(name="Acme", slug="acme"), name="Ada Lovelace")
    page.set_viewport_size({"width": width, "height": 900})
    logged_out = start_of(page, "/login/")
    log_in_page(page, ada)

    with_side_bar = start_of(page, "/acme/")
    starts = {path: start_of(page, path) for path in ("/profile/", "/profile/security/", "/organisations/")}

    assert starts == dict.fromkeys(starts, with_side_bar)
    assert logged_out[1] == with_side_bar[1]
    for theme in THEMES:
        use_theme(page, theme)
        for path in ("/acme/", "/profile/security/", "/no-such-page/at/all/"):
            page.goto(path)
            screenshot(page, f"start{path.replace('/', '-')}{width}-{theme}")
