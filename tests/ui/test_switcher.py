"""The switcher lists what its viewer reaches, and nothing else."""

import re

import pytest

from environments.caller import Caller
from environments.choices import Kind, Role
from studio import switcher
from tests.factories import environment, member, organisation
from tests.logging_in import log_in


@pytest.fixture
def agency(db):
    return organisation(name="Noorderlicht Digital")


@pytest.fixture
def customer(agency):
    return organisation(Kind.CUSTOMER, parent=agency, name="Maasborg Verzekeringen")


@pytest.fixture
def claims(customer):
    return environment(parent=customer, name="Maasborg Claims", slug="claims")


@pytest.fixture
def elsewhere(db):
    return environment(name="Secret Environment", slug="secret", parent=organisation(name="Secret Agency"))


def links(response):
    return re.findall(r'<a class="menu__item" href="/([\w-]+)/', response.text.split('id="main"')[-1])


def headings(response):
    return re.findall(r'<p class="switcher-list__group"[^>]*>([^<]*)</p>', response.text)


def test_it_groups_environments_by_the_organisations_above_them(client, agency, customer, claims, elsewhere):
    environment(parent=agency, slug="direct")
    client.force_login(member(agency))

    response = client.get("/switch/")

    assert sorted(links(response)) == ["claims", "direct"]
    assert sorted(headings(response)) == ["Noorderlicht Digital", "Noorderlicht Digital › Maasborg Verzekeringen"]
    assert "Secret" not in response.text


def test_names_above_stay_unknown_to_whoever_does_not_reach_them(client, claims):
    client.force_login(member(claims, Role.MEMBER))

    response = client.get("/switch/")

    assert links(response) == ["claims"]
    assert "Noorderlicht" not in response.text
    assert "Maasborg Verzekeringen" not in response.text


@pytest.mark.parametrize("words", ["CLAIMS", "verzekering", "noorder", " claims "])
def test_it_finds_by_the_name_of_an_environment_or_of_one_above(client, agency, claims, elsewhere, words):
    environment(parent=organisation(parent=agency, kind=Kind.CUSTOMER), name="Other", slug="other")
    client.force_login(member(agency))

    assert "claims" in links(client.get("/switch/", {"q": words}, HTTP_HX_REQUEST="true"))


@pytest.mark.parametrize("words", ["secret", "Secret Agency", "%", "_", "\\", "\0", "nothing"])
def test_words_never_find_what_is_not_reached(client, agency, claims, elsewhere, words):
    client.force_login(member(agency))

    response = client.get("/switch/", {"q": words}, HTTP_HX_REQUEST="true")

    assert response.status_code == 200
    assert links(response) in ([], ["claims"])
    assert "secret" not in links(response)


def test_a_search_that_finds_one_opens_it(client, agency, claims):
    environment(parent=agency)
    client.force_login(member(agency))

    response = client.get("/switch/", {"q": "claims"})

    assert (response.status_code, response.headers["Location"]) == (302, "/claims/")


def test_the_popover_gets_the_list_alone_with_the_current_one_marked(client, agency, claims):
    client.force_login(member(agency))
    there = {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": "http://testserver/claims/members/"}

    response = client.get("/switch/", **there)

    assert "<html" not in response.text
    assert 'href="/claims/" aria-current="true"' in response.text


@pytest.mark.parametrize("count", [switcher.MANY, 40])
def test_it_costs_the_same_for_any_number(client, agency, count, django_assert_num_queries):
    for _ in range(count):
        environment(parent=agency)
    client.force_login(member(agency))
    with django_assert_num_queries(8):  # session, user, its record, the gate, count, page, names above, recent ones
        assert len(links(client.get("/switch/", HTTP_HX_REQUEST="true"))) == count


def open_environments(client, user, *slugs):
    log_in(client, user)
    for slug in slugs:
        client.get(f"/{slug}/")
    client.post("/logout/")


def recent(client, user):
    """Return what a new session of the user is shown first, once there are enough environments to repeat some."""
    log_in(client, user)
    shown = re.search(r">Recent</p>(.*?)</ul>", client.get("/switch/").text, re.DOTALL)
    return re.findall(r'href="/([\w-]+)/"', shown[1]) if shown else []


@pytest.fixture
def many(agency):
    return [environment(parent=agency, slug=f"env-{number}") for number in range(switcher.MANY)]


def test_the_recent_ones_come_first_and_survive_log_out(client, agency, claims, many):
    ada = member(agency)
    open_environments(client, ada, "claims", "env-1", "claims", "env-2", "claims")

    assert recent(client, ada) == ["claims", "env-2", "env-1"]


def test_the_next_person_at_a_browser_sees_nothing_of_the_one_before(client, agency, claims, many):
    open_environments(client, member(agency), "claims", "env-1")

    assert recent(client, member(agency)) == []
    assert "claims" not in str(dict(client.session))


def test_what_is_no_longer_reached_is_not_recent(client, agency, claims, many, elsewhere):
    ada = member(agency)
    there = elsewhere.memberships.create(user=ada, roles=[Role.MEMBER], accepted_at=ada.created_at)
    open_environments(client, ada, "claims", "secret")
    assert recent(client, ada) == ["secret", "claims"]
    there.delete()

    assert recent(client, ada) == ["claims"]


def test_the_latest_five_are_kept_and_nothing_is_written_while_one_stays(client, agency, many):
    ada = member(agency)
    open_environments(client, ada, *(node.slug for node in many))
    assert recent(client, ada) == [f"env-{number}" for number in (7, 6, 5, 4, 3)]
    assert ada.opened_environments.count() == switcher.RECENT_COUNT
    client.get("/env-3/")
    before = ada.opened_environments.latest("opened_at").opened_at

    client.get("/env-3/")

    assert ada.opened_environments.latest("opened_at").opened_at == before


def test_who_views_as_a_member_is_shown_no_recent_ones(agency, claims):
    ada, vic = member(agency), member(claims, Role.MEMBER)
    vic.opened_environments.create(organisation=claims)

    assert switcher.recent_environments(Caller.of(vic)).choices[0].name == "Maasborg Claims"
    assert switcher.recent_environments(Caller.viewing_as(vic, by=ada, below=agency)) is None
