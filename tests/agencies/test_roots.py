"""The top of the tree: listed and extended by super users alone."""

import re

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from agencies.roots.services import create_root
from audit.models import Event
from environments.caller import Caller
from environments.choices import Kind
from environments.models import Organisation
from tests.factories import UserFactory, environment, member, organisation
from tests.logging_in import logged_in_client
from tests.queries import count_queries

pytestmark = pytest.mark.django_db
PAGE = "/organisations/top/"


@pytest.fixture
def root(aurora):
    return logged_in_client(UserFactory(is_superuser=True))


def words(response) -> str:
    return " ".join(re.sub("<[^>]*>", " ", response.text).split())


def test_the_top_of_the_tree_is_listed_with_what_is_below(root, aurora):
    market = organisation(Kind.MARKET, name="North", slug="north")
    organisation(Kind.AGENCY, parent=market)
    member(market)
    page = words(root.get(PAGE))
    assert re.search(r"Aurora aurora agency 0 1 7 0 ", page)
    assert re.search(r"North north market 1 0 0 1 ", page)
    assert "Bakker" not in page
    assert "North" not in words(root.get(f"{PAGE}?q=auro"))


def test_a_super_user_creates_one_and_is_led_to_its_members(root):
    answer = root.post(PAGE, {"name": "Benelux", "kind": "market", "slug": ""})
    assert answer["Location"] == "/benelux/members/"
    assert "Benelux was created. Invite its first Administrator here." in root.get(answer["Location"]).text
    made = Organisation.objects.get(slug="benelux")
    assert (made.kind, made.depth) == (Kind.MARKET, 1)
    assert Event.objects.filter(action="organisation.created", organisation_id=made.pk).count() == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "customer"}, "Select a valid choice."),
        ({"slug": "aurora"}, "This short name is taken."),
        ({"slug": "api"}, "This short name is reserved."),
        ({"name": ""}, "This field is required."),
    ],
)
def test_what_cannot_stand_there_is_refused(root, fields, said):
    before = Organisation.objects.count()
    assert said in root.post(PAGE, {"name": "New", "kind": "agency", "slug": ""} | fields).text
    assert Organisation.objects.count() == before


def test_nobody_else_sees_or_creates_anything_there(aurora):
    boss = member(aurora)
    client = logged_in_client(boss)
    assert (client.get(PAGE).status_code, client.post(PAGE, {"name": "X", "kind": "agency"}).status_code) == (403, 403)
    with pytest.raises(PermissionDenied):
        create_root("X", kind=Kind.AGENCY, by=Caller.of(boss), now=timezone.now())
    assert not Organisation.objects.filter(name="X").exists()


def test_the_list_costs_the_same_for_one_and_for_fifty(root):
    one = count_queries(lambda: root.get(PAGE))
    for _number in range(49):
        environment()
    assert count_queries(lambda: root.get(PAGE)) == one <= 6
