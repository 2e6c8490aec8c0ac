"""Every component in every state, in both themes and three widths, as a browser shows it."""

import pytest

from tests.browser import assert_accessible, log_in_page, screenshot, set_cookie
from tests.factories import UserFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.ui.urls")]


@pytest.fixture
def ada(db):
    return UserFactory(email="ada@example.test", name="Ada Lovelace")


def test_components_are_accessible(page, ada):
    log_in_page(page, ada)

    assert_accessible(page, "/components/")

    screenshot(page, "components")


@pytest.mark.parametrize("path", ["/refuse/", "/confuse/", "/fail/", "/fail/for/now/", "/forge/", "/nothing/at/all/"])
def test_error_pages_are_accessible_to_strangers(page, path):
    assert_accessible(page, path)


def test_the_page_about_an_old_form_is_accessible(page):
    set_cookie(page, "any", "cookie")
    assert_accessible(page, "/forge/")
