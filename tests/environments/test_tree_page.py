"""The organisation page: the tree around a node, and the panel about it."""

import re
import time

import pytest
from django.utils import timezone

from environments.caller import SYSTEM
from environments.choices import Kind, Role
from environments.policies.retention import Retention
from environments.policies.services import set_retention
from environments.tree import queries as tree
from environments.tree.services import suspend
from tests.factories import environment, member, organisation
from tests.logging_in import log_in
from tests.queries import count_queries

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(customer):
    return environment(parent=customer, slug="acme", name="Acme")


def nodes(response):
    """Return the names in the tree, each with a dot for every level above it."""
    found, depth = [], 0
    for match in re.finditer(r'<ul>|</ul>|<(?:a href=[^>]*|span class="tree__name")>([^<]+)<', in_tree(response)):
        depth += {"<ul>": 1, "</ul>": -1}.get(match[0], 0)
        if match[1]:
            found.append("·" * depth + match[1])
    return found


def in_tree(response):
    return response.text.split('<ul class="tree"')[1].split("<aside")[0]


def panel(response):
    found = re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", response.text.split("<aside")[1], re.DOTALL)
    return {name: " ".join(re.sub(r"<[^>]*>", " ", value).split()) for name, value in found}


def test_it_shows_what_stands_above_beside_and_below(client, agency, customer, acme, elsewhere):
    environment(parent=agency, name="Beside")
    environment(parent=customer, name="Sister")
    log_in(client, member(agency))

    found = ["Noorderlicht Digital", "·Maasborg", "··Acme", "··Sister", "·Beside"]
    for slug in ["noorderlicht", "customer", "acme"]:
        assert nodes(client.get(f"/{slug}/organisation/")) == found


def test_who_reaches_one_environment_sees_that_alone(client, customer, acme):
    environment(parent=customer, name="Sister")
    log_in(client, member(acme, Role.MEMBER))

    response = client.get("/acme/organisation/")

    assert nodes(response) == ["Acme"]
    assert "Sister" not in response.text
    assert "Maasborg" not in response.text


@pytest.mark.parametrize("slug", ["elsewhere", "noorderlicht"])
def test_strangers_get_nothing(client, agency, acme, elsewhere, slug):
    log_in(client, member(acme))

    assert client.get(f"/{slug}/organisation/").status_code == 404


def test_what_is_suspended_shows_and_leads_nowhere(client, agency):
    suspend(environment(parent=agency, slug="closed", name="Closed"), by=SYSTEM, now=timezone.now())
    log_in(client, member(agency))

    response = client.get("/noorderlicht/organisation/")

    assert nodes(response) == ["Noorderlicht Digital", "·Closed"]
    assert "Suspended" in in_tree(response)
    assert "/closed/" not in response.text


@pytest.mark.parametrize(
    ("words", "found"), [("ACM", ["Acme"]), ("maas", ["Maasborg"]), ("o", ["Noorderlicht Digital", "·Maasborg"])]
)
def test_it_is_searched_in_the_whole_tree_that_one_reaches(client, agency, acme, elsewhere, words, found):
    log_in(client, member(agency))

    assert nodes(client.get(f"/acme/organisation/?q={words}")) == found


def test_a_search_finds_nothing_that_one_does_not_reach(client, agency, acme, elsewhere):
    log_in(client, member(acme))

    for words in ["Secret", "Noorderlicht", "%25", "%00"]:
        response = client.get(f"/acme/organisation/?q={words}")
        assert response.status_code == 200
        assert "Secret E" not in response.text
        assert "Noorderlicht D" not in response.text


def test_the_panel_says_what_holds_and_how_many_people_reach_it(client, agency, customer, acme):
    set_retention(customer, to=Retention.limit(30), by=SYSTEM, now=timezone.now())
    member(acme, Role.MEMBER)
    both = member(agency, Role.MEMBER)
    both.memberships.create(organisation=acme, roles=[Role.MEMBER], accepted_at=timezone.now())
    both.memberships.create(organisation=customer, roles=[Role.MEMBER])
    log_in(client, member(agency))

    found = panel(client.get("/acme/organisation/"))

    assert found["Members"] == "2, and 1 from above"
    assert found["MFA"] == "Off"
    assert found["Archival"] == "30 days Maasborg"


def test_the_panel_hides_who_decided_above_and_how_many_there_are_from_those_who_do_not_manage(client, agency, acme):
    set_retention(agency, to=Retention.limit(30), by=SYSTEM, now=timezone.now())
    log_in(client, member(acme, Role.MEMBER))

    found = panel(client.get("/acme/organisation/"))

    assert found["Archival"] == "30 days set above"
    assert "Members" not in found


def test_a_manager_renames_and_a_member_does_not(client, acme):
    log_in(client, member(acme, Role.MEMBER))
    assert client.post("/acme/organisation/", {"do": "rename", "name": "Mine"}).status_code == 403

    log_in(client, member(acme, Role.ENVIRONMENT_MANAGER))
    assert client.post("/acme/organisation/", {"do": "rename", "name": ""}).status_code == 200
    assert client.post("/acme/organisation/", {"do": "rename", "name": "Acme Two"}).status_code == 302
    acme.refresh_from_db()
    assert acme.name == "Acme Two"


def test_it_costs_the_same_for_one_node_and_for_fifty(client, agency):
    log_in(client, member(agency))
    environment(parent=agency)
    one = count_queries(lambda: client.get("/noorderlicht/organisation/"))
    for _number in range(49):
        environment(parent=agency)
    assert len(nodes(client.get("/noorderlicht/organisation/"))) == 51
    assert count_queries(lambda: client.get("/noorderlicht/organisation/")) == one <= 7


def test_a_tree_of_a_thousand_shows_the_nearest_and_says_that_there_are_more(client, agency, monkeypatch):
    customers = [organisation(Kind.CUSTOMER, parent=agency, name=f"Customer {n}") for n in range(3)]
    for owner in customers:
        for _number in range(4):
            environment(parent=owner)
    monkeypatch.setattr(tree, "MOST_NODES", 8)
    log_in(client, member(agency))

    response = client.get("/noorderlicht/organisation/")
    names = nodes(response)

    assert [name for name in names if "Customer" in name] == ["·Customer 0", "·Customer 1", "·Customer 2"]
    assert len(names) == 8
    assert "There are more than fit here" in response.text
    assert "4 below" in response.text
    last = client.get(f"/{customers[2].slug}/organisation/")
    assert len([name for name in nodes(last) if name.startswith("··")]) == 4


def test_a_tree_of_a_thousand_is_drawn_in_time(client, agency):
    for _number in range(20):
        owner = organisation(Kind.CUSTOMER, parent=agency)
        for _number in range(29):
            environment(parent=owner)
    log_in(client, member(agency))
    client.get("/noorderlicht/organisation/")

    started = time.perf_counter()
    response = client.get("/noorderlicht/organisation/")

    assert len(nodes(response)) == tree.MOST_NODES
    assert time.perf_counter() - started < 5  # seconds; a tenth of it on an idle machine
