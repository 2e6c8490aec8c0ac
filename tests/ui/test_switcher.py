"""The switcher lists what its viewer reaches, and nothing else."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from environments.caller import Caller
from environments.choices import Kind, Role
from studio import sections, switcher
from tests.archival.limits import archive_after
from tests.browser import log_in_page
from tests.factories import conversation, environment, member, organisation
from tests.logging_in import log_in, logged_in_client


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
    assert 'href="/claims/members/" aria-current="true"' in response.text


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


# -- The same page of the other environment ---------------------------------------------------------


@pytest.fixture
def other(agency):
    return environment(parent=agency, name="Other", slug="other")


def kept(client, path: str) -> str:
    """Return the address of Other in the switcher that is opened on a path."""
    there = {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": f"http://testserver{path}"}
    response = client.get("/switch/", **there)
    without_script = client.get("/switch/", {"from": path})
    found = [re.findall(r'class="menu__item" href="(/other/[^"]*)"', each.text) for each in (response, without_script)]
    assert found[0] == found[1]
    return found[0][-1]


def test_every_section_of_an_environment_leads_to_the_same_section_of_another(client, agency, claims, other):
    client.force_login(member(agency))
    of_environments = [page for page in sections.SECTIONS if Kind.ENVIRONMENT in page.kinds]
    leads = {
        page.view_name: kept(client, reverse(page.view_name, args=["claims"]))
        for page in of_environments
        if page is not sections.PENDING_CHANGES
    }

    assert len(leads) > 10
    assert leads == {name: reverse(name, args=["other"]) for name in leads}
    assert {client.get(address).status_code for address in leads.values()} == {200}


@pytest.mark.parametrize(
    ("path", "lead"),
    [
        ("/claims/members/7/remove/?page=2", "/other/members/"),
        ("/claims/conversations/00000000-0000-0000-0000-000000000001/", "/other/conversations/"),
        ("/customer/members/", "/other/members/"),
        ("/customer/environments/", "/other/"),  # the page does not exist for an environment
        ("/pending-changes/", "/other/"),
        ("/profile/security/", "/other/"),
        ("/organisations/", "/other/"),
        ("/claims/no/such/page/", "/other/"),
        ("/claims/", "/other/"),
        ("//evil.test/members/", "/other/"),
        ("", "/other/"),
    ],
)
def test_a_page_inside_a_section_leads_to_the_section_and_any_other_to_the_home_page(client, agency, other, path, lead):
    client.force_login(member(agency))
    assert kept(client, path) == lead


def test_a_page_that_is_closed_to_the_viewer_there_leads_to_the_home_page(client, claims, other):
    ada = member(claims)
    other.memberships.create(user=ada, roles=[Role.MEMBER], accepted_at=ada.created_at)
    client.force_login(ada)

    assert kept(client, "/claims/members/") == "/other/"
    assert kept(client, "/claims/conversations/") == "/other/conversations/"


def test_an_impersonator_keeps_a_page_that_both_can_open(claims, agency, other):
    ada, vic = member(agency), member(agency, Role.ENVIRONMENT_MANAGER)
    viewing = Caller.viewing_as(vic, by=ada, below=agency)
    leads = [
        switcher.Destination(viewing, path).address_in(other)
        for path in ("/claims/audit/", "/claims/settings/advanced/")
    ]
    assert leads == ["/other/audit/", "/other/"]


@pytest.mark.parametrize("count", [switcher.MANY, 40])
def test_to_keep_the_page_costs_one_query_for_any_number(client, agency, count, django_assert_num_queries):
    for _ in range(count):
        environment(parent=agency)
    client.force_login(member(agency))
    there = {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": "http://testserver/any/members/"}
    with django_assert_num_queries(9):
        assert client.get("/switch/", **there).text.count("/members/") == count


def test_the_recent_ones_keep_the_page_too(client, agency, claims, many):
    ada = member(agency)
    open_environments(client, ada, "claims")
    log_in(client, ada)
    page = client.get("/switch/", {"from": "/env-1/audit/"}).text
    shown = re.search(r">Recent</p>(.*?)</ul>", page, re.DOTALL)
    assert 'href="/claims/audit/"' in shown[1]


# -- People and ids ---------------------------------------------------------------------------------


def others_found(client, words: str, at: str = "/claims/") -> list[str]:
    response = client.get("/switch/", {"q": words, "from": at})
    if response.status_code == 302:
        return [response.headers["Location"]]
    return re.findall(r'class="menu__item" href="([^"]*)"', response.text.split('id="main"')[-1])


def test_it_finds_people_where_the_viewer_manages_members_and_leads_to_all_they_reach(
    client, agency, claims, elsewhere
):
    zoe = member(claims, Role.MEMBER, name="Zoe Smit", email="zoe@x.test")
    member(elsewhere, name="Zoe Elsewhere", email="zoe.elsewhere@x.test")
    member(claims, name="Zoe Closed", is_active=False)
    client.force_login(member(agency))

    for words in ("zoe", "SMIT", "zoe@x"):
        assert others_found(client, words) == [f"/{agency.slug}/users/{zoe.pk}/"]
    assert others_found(client, "z") == ["/claims/"]  # by the name of its customer


def test_who_manages_an_environment_alone_is_led_to_the_membership_there(client, agency, claims, other):
    zoe = member(claims, Role.MEMBER, name="Zoe")
    member(other, name="Zoe of Other")
    member(agency, name="Zoe above")
    client.force_login(member(claims, Role.ENVIRONMENT_MANAGER))

    assert others_found(client, "zoe", at="/profile/") == [f"/claims/members/{zoe.memberships.get().pk}/"]


def test_who_manages_no_members_finds_nobody(client, agency, claims):
    member(claims, name="Zoe")
    client.force_login(member(agency, Role.DEVELOPER))
    assert others_found(client, "zoe") == []


def test_a_super_user_finds_everybody(client, claims):
    zoe = member(claims, name="Zoe")
    root = logged_in_client(member(claims, is_superuser=True))
    assert others_found(root, "zoe") == [f"/claims/members/{zoe.memberships.get().pk}/"]


@pytest.mark.parametrize("by", ["uuid", "external_id"])
def test_it_finds_conversations_and_contacts_of_the_current_environment_by_their_ids(client, agency, claims, other, by):
    now = timezone.now()
    talk = conversation(of=claims, now=now, external_id="talk-7")
    theirs = conversation(of=other, now=now, external_id="talk-8")
    client.force_login(member(agency))

    assert others_found(client, f" {getattr(talk, by)} ") == [f"/claims/conversations/{talk.uuid}/"]
    contact = talk.contact
    assert others_found(client, str(getattr(contact, by))) == [f"/claims/contacts/{contact.uuid}/"]
    assert others_found(client, str(getattr(theirs, by))) == []
    assert others_found(client, str(getattr(theirs, by)), at="/other/members/") == [
        f"/other/conversations/{theirs.uuid}/"
    ]
    assert others_found(client, str(getattr(talk, by)), at="/profile/") == []


def test_an_id_finds_nothing_for_who_cannot_read_it_and_nothing_past_the_limit(client, agency, claims, elsewhere):
    now = timezone.now()
    talk, hidden = conversation(of=claims, now=now, days_ago=40), conversation(of=elsewhere, now=now)
    ada = member(agency)
    client.force_login(ada)
    assert others_found(client, talk.external_id) == [f"/claims/conversations/{talk.uuid}/"]
    assert others_found(client, hidden.external_id, at="/secret/") == []
    archive_after(claims, 30)
    assert others_found(client, talk.external_id) == []
    archive_after(claims, 60)
    client.force_login(member(claims, Role.DEVELOPER))
    assert others_found(client, talk.external_id) == []


@pytest.mark.parametrize("count", [1, 30])
def test_a_search_costs_the_same_for_any_number_of_people(
    client, agency, claims, other, count, django_assert_num_queries
):
    for number in range(count):
        member(claims, name=f"Zoe {number}")
    client.force_login(member(agency))
    with django_assert_num_queries(11):
        found = client.get("/switch/", {"q": "zoe", "from": "/claims/"}, HTTP_HX_REQUEST="true").text
    assert found.count("/users/") == min(count, 5)


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_keys_alone_lead_to_the_same_page_of_another_environment_and_to_a_person(page, agency, claims, other):
    zoe = member(claims, Role.MEMBER, name="Zoe Smit")
    log_in_page(page, member(agency))
    page.goto("/claims/members/")

    open_first(page, "other", shown="Other")
    page.wait_for_url("**/other/members/")
    open_first(page, "zoe", shown="Zoe Smit")
    page.wait_for_url(f"**/{agency.slug}/users/{zoe.pk}/")


def open_first(page, words: str, *, shown: str) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type(words)
    expect(page.locator("#switcher a.menu__item")).to_have_count(1)
    expect(page.locator("#switcher a.menu__item")).to_contain_text(shown)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
