"""Every page of every room, in both themes and three widths: axe has nothing to say, and the policy is kept."""

import pytest

from tests.browser import WIDTHS, faults_in_every_width_and_theme
from tests.environments.test_permissions import views
from tests.ui.pages import NO_PAGE, PEOPLE, visit

pytestmark = pytest.mark.django_db(transaction=True)


def test_every_view_of_the_resolver_is_in_the_registry_once(world):
    pages = {shown.view for _begin, pages in PEOPLE.values() for shown in pages(world)} - {"404"}
    others = set().union(*NO_PAGE.values())
    assert pages & others == set()
    assert pages | others == {name for _route, name, _pattern in views()}


@pytest.mark.browser
@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize(
    "widths", [WIDTHS[:1], pytest.param(WIDTHS[1:], marks=pytest.mark.faults)], ids=["wide", "narrow"]
)
def test_every_page_is_accessible(page, world, who, widths):
    faults = {
        one.name: faults_in_every_width_and_theme(page, one.name, widths=widths) for one in visit(page, world, who)
    }
    assert {name: found for name, found in faults.items() if found} == {}
