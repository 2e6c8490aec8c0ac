"""The switcher lists what its viewer reaches, and nothing else."""

import re

import pytest

from environments.caller import Caller
from environments.choices import Kind, Role
from studio import switcher
from tests.factories import environment, member, organisation


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


@pytest.mark.parametrize("count", [1, 40])
def test_it_costs_the_same_for_any_number(client, agency, count, django_assert_num_queries):
    for _ in range(count):
        environment(parent=agency)
    client.force_login(member(agency))
    with django_assert_num_queries(7):  # session, user, its record, the gate, count, page, names above
        assert len(links(client.get("/switch/", HTTP_HX_REQUEST="true"))) == count


def test_the_recent_ones_come_first_while_they_are_reached(rf, agency, claims, elsewhere):
    ada, session = member(agency), {}
    for slug in ("claims", "direct", "secret", "direct"):
        switcher.remember_environment(session, slug)
    environment(parent=agency, slug="direct", name="Direct")

    found = switcher.recent_environments(Caller.of(ada), session, current="claims")

    assert [(choice.name, choice.is_current) for choice in found.choices] == [
        ("Direct", False),
        ("Maasborg Claims", True),
    ]


def test_the_session_is_written_only_when_the_environment_changes():
    session = {}
    for slug in "abcdefg":
        switcher.remember_environment(session, slug)
    before = session[switcher.SESSION_KEY]

    switcher.remember_environment(session, "g")

    assert before == ["g", "f", "e", "d", "c"]
    assert session[switcher.SESSION_KEY] is before
