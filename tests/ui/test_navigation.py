"""The side bar shows what its viewer may open, and the 404 page tells nothing."""

import re

import pytest

from environments.choices import Kind, Role
from environments.models import AccessRequest
from studio import context, sections
from tests.factories import UserFactory, environment, member, organisation

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.ui.site")]

READ = ["Home", "Conversations", "Contacts"]
MANAGE = ["Members", "Access requests", "Settings", "Advanced settings", "Retention ledger", "Audit log"]


@pytest.fixture
def agency():
    return organisation(slug="agency")


@pytest.fixture
def acme(agency):
    return environment(parent=agency, slug="acme", name="Acme")


@pytest.mark.urls("studio.urls")
@pytest.mark.parametrize(
    "page",
    [
        sections.HOME,
        *sections.CONVERSATIONS,
        *sections.MANAGEMENT,
        *sections.ADMINISTRATION,
    ],
)
def test_every_page_of_the_side_bar_exists(page):
    assert context.address(page.view_name, "acme")


def side_bar(response):
    found = re.findall(r'class="side__link"[^>]*>\s*(?:<svg.*?</svg>)([^<]+)', response.text)
    return [label.strip() for label in found]


@pytest.mark.parametrize(
    ("role", "entries"),
    [
        (Role.ADMINISTRATOR, READ + MANAGE),
        (Role.ENVIRONMENT_MANAGER, READ + [entry for entry in MANAGE if entry != "Advanced settings"]),
        (Role.DEVELOPER, ["Home"]),
        (Role.MEMBER, READ),
    ],
)
def test_the_side_bar_shows_what_a_role_can_open(client, acme, role, entries):
    client.force_login(member(acme, role))

    assert side_bar(client.get("/acme/home/")) == entries


def test_an_agency_has_no_conversations_but_an_administration(client, agency, acme):
    client.force_login(member(agency))

    assert side_bar(client.get("/agency/home/")) == ["Home", *MANAGE, "Compliance"]


@pytest.mark.parametrize(
    ("kinds", "role", "manages_several"),
    [
        ([Kind.ENVIRONMENT], Role.ADMINISTRATOR, False),
        ([Kind.ENVIRONMENT, Kind.ENVIRONMENT], Role.ENVIRONMENT_MANAGER, True),
        ([Kind.ENVIRONMENT, Kind.ENVIRONMENT], Role.MEMBER, False),
        ([Kind.AGENCY], Role.ADMINISTRATOR, True),
        ([Kind.AGENCY], Role.DEVELOPER, False),
    ],
)
def test_administration_is_for_whoever_manages_more_than_one_environment(
    client, agency, acme, kinds, role, manages_several
):
    nodes = [agency] if kinds == [Kind.AGENCY] else [acme, environment(parent=agency)][: len(kinds)]
    ada = member(nodes[0], role)
    for node in nodes[1:]:
        ada.memberships.create(organisation=node, roles=[role], accepted_at=ada.created_at)
    client.force_login(ada)

    assert ("Compliance" in side_bar(client.get("/acme/home/"))) == manages_several


def test_the_page_at_hand_is_marked_and_waiting_requests_are_counted(client, acme):
    for state in (AccessRequest.State.WAITING, AccessRequest.State.WAITING, AccessRequest.State.REJECTED):
        AccessRequest.objects.create(organisation=acme, user=UserFactory(), state=state)
    client.force_login(member(acme))

    shown = client.get("/acme/members/").text

    assert re.findall(r'class="side__link" href="([^"]*)" aria-current="page"', shown) == ["/acme/members/"]
    assert '<span class="side__count"> 2<span class="hidden-text"> waiting</span> </span>' in " ".join(shown.split())


def test_opening_an_environment_makes_it_the_most_recent(client, agency, acme):
    environment(parent=agency, slug="other")
    ada = member(agency)
    client.force_login(ada)
    for path in ("/acme/home/", "/other/home/", "/agency/home/", "/nothing/home/", "/other/members/"):
        client.get(path)

    opened = ada.opened_environments.order_by("-opened_at")
    assert [each.organisation.slug for each in opened] == ["other", "acme"]


def test_a_404_is_the_same_for_what_exists_and_what_does_not(client, acme):
    client.force_login(UserFactory())
    answers = [client.get(f"/{slug}/members/") for slug in ("acme", "none")]
    seen = [
        re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.text).replace(f"/{slug}/", "/x/")
        for answer, slug in zip(answers, ("acme", "none"), strict=True)
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert seen[0] == seen[1]
    assert 'action="/x/ask-access/"' in seen[0]


def test_whoever_is_inside_is_not_offered_to_ask_for_access(client, acme):
    client.force_login(member(acme))

    answer = client.get("/acme/lost/")

    assert answer.status_code == 404
    assert "ask-access" not in answer.text
    assert side_bar(answer) == READ + MANAGE


@pytest.mark.parametrize("path", ["/login/x/", "/ACME/x/", "/%22%3E/", "/a.b/", "//evil.test/", "/" + "a" * 64 + "/x/"])
def test_an_address_that_means_no_environment_offers_nothing(client, acme, path):
    client.force_login(UserFactory())

    assert "ask-access" not in client.get(path).text
