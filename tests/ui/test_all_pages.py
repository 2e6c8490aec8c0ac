"""Every page of every room, taken from the resolver."""

import pytest

from tests.environments.test_permissions import views
from tests.ui.pages import NO_PAGE, PEOPLE

pytestmark = pytest.mark.django_db(transaction=True)


def test_every_view_of_the_resolver_is_in_the_registry_once(world):
    pages = {shown.view for _begin, pages in PEOPLE.values() for shown in pages(world)} - {"404"}
    others = set().union(*NO_PAGE.values())
    assert pages & others == set()
    assert pages | others == {name for _route, name, _pattern in views()}
