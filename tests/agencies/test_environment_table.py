"""The table of environments below an organisation: what it shows, whom, in which order, and the file of it."""

import csv
import io
import re
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.utils import timezone

from archival.models import Hold, PolicyChange, Proof
from environments import roster
from environments.choices import Kind, Role
from environments.models import AccessRequest, Organisation
from tests.accounts.conftest import require_mfa
from tests.archival.limits import archive_after
from tests.factories import UserFactory, environment, member, organisation
from tests.logging_in import give_app, logged_in_client

pytestmark = pytest.mark.django_db
CODES = re.compile(r'<a class="table__link" href="/([\w-]+)/">')


@pytest.fixture
def agency() -> Organisation:
    """Aurora with two customers: Bakker (shop, depot) and Cohen (desk), and an environment of its own (lab)."""
    aurora = organisation(Kind.AGENCY, name="Aurora", slug="aurora")
    bakker = organisation(Kind.CUSTOMER, parent=aurora, name="Bakker", slug="bakker")
    cohen = organisation(Kind.CUSTOMER, parent=aurora, name="Cohen", slug="cohen")
    environment(parent=bakker, name="Shop", slug="shop")
    environment(parent=bakker, name="Depot", slug="depot")
    environment(parent=cohen, name="Desk", slug="desk")
    environment(parent=aurora, name="Lab", slug="lab")
    environment(name="Elsewhere", slug="elsewhere")
    return aurora


def get(slug: str) -> Organisation:
    return Organisation.objects.get(slug=slug)


@pytest.fixture
def ada(agency):
    return logged_in_client(member(agency, email="ada@aurora.test"))


def shown(client, query: str = "") -> list[str]:
    return CODES.findall(client.get(f"/aurora/environments/{query}").text)


def filed(client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"/aurora/environments.csv{query}")
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))


def test_it_shows_all_environments_below_in_the_order_of_the_tree(ada):
    assert shown(ada) == ["shop", "depot", "desk", "lab"]


def test_it_says_what_holds_and_where_it_comes_from(ada):
    archive_after(get("bakker"), 90)
    require_mfa(get("desk"))
    rows = {row["short_name"]: row for row in filed(ada)}

    assert [rows["shop"][name] for name in ("limit_days", "limit_from", "own_archival")] == ["90", "Bakker", "inherit"]
    assert [rows["desk"][name] for name in ("mfa_required", "mfa_from", "own_mfa")] == ["yes", "own", "on"]
    assert [rows["lab"][name] for name in ("limit_days", "mfa_required", "in")] == ["", "no", "Aurora"]


def prepare() -> None:
    """Give each environment something to be found by."""
    now = timezone.now()
    archive_after(get("bakker"), 90)
    archive_after(get("depot"), 400)
    archive_after(get("desk"), 2000)
    require_mfa(get("cohen"))
    require_mfa(get("lab"), "off")
    Proof.objects.create(
        environment=get("shop"),
        checked_at=now,
        is_late=True,
        findings=[
            {"kind": "messages", "state": "late", "oldest": "2025-01-01T00:00:00+00:00", "late_by_seconds": 9},
            {"kind": "files", "state": "late", "oldest": "2024-01-01T00:00:00+00:00", "late_by_seconds": 9},
        ],
    )
    Proof.objects.create(
        environment=get("desk"),
        checked_at=now,
        is_late=False,
        findings=[{"kind": "messages", "state": "ok", "oldest": "2024-06-01T00:00:00+00:00", "late_by_seconds": 0}],
    )
    PolicyChange.objects.create(
        organisation=get("bakker"), organisation_label="Bakker", archival="limit", days=30, locked=False, before={},
        requested_at=now, requested_label="ada", acts_at=now + timedelta(days=1),
    )  # fmt: skip
    Hold.objects.create(environment=get("desk"), reason="Case 7", placed_at=now)
    AccessRequest.objects.create(organisation=get("lab"), user=UserFactory())
    member(get("depot"), Role.MEMBER)  # without a second factor


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?q=shop", ["shop"]),
        ("?q=BAKK", ["shop", "depot"]),  # by the name of the customer
        ("?q=elsewhere", []),
        ("?mfa=required", ["desk"]),
        ("?mfa=not-required", ["shop", "depot", "lab"]),
        ("?mfa=off", ["lab"]),
        ("?mfa=inherit", ["shop", "depot", "desk"]),
        ("?archival=up-to-90", ["shop"]),
        ("?archival=up-to-365", []),
        ("?archival=up-to-730", ["depot"]),
        ("?archival=longer", ["desk"]),
        ("?archival=none", ["lab"]),
        ("?archival=limit", ["depot", "desk"]),
        ("?archival=inherit&q=bakker", ["shop"]),
        ("?show=late", ["shop"]),
        ("?show=pending", ["shop", "depot"]),  # by a change of the customer
        ("?show=held", ["desk"]),
        ("?show=requests", ["lab"]),
        ("?show=without_factor", ["depot"]),
        ("?show=suspended", []),
        ("?show=nonsense", ["shop", "depot", "desk", "lab"]),
        ("?sort=name", ["depot", "desk", "lab", "shop"]),
        ("?sort=shortest", ["shop", "depot", "desk", "lab"]),
        ("?sort=longest", ["lab", "desk", "depot", "shop"]),
        ("?sort=newest", ["lab", "desk", "depot", "shop"]),
        ("?sort=oldest-data", ["desk", "shop", "depot", "lab"]),  # not by a file that waits for its deletion
    ],
)
def test_page_and_file_show_what_a_filter_asks_for_in_its_order(ada, query, found):
    prepare()
    assert shown(ada, query) == found
    assert [row["short_name"] for row in filed(ada, query)] == found


def test_it_counts_the_people_that_the_page_members_shows_as_without_a_factor(agency, ada):
    aurora, bakker, shop = agency, get("bakker"), get("shop")
    member(aurora, Role.MEMBER)
    both = member(bakker, Role.MEMBER)
    both.memberships.create(organisation=shop, roles=[Role.MEMBER], accepted_at=timezone.now())
    give_app(member(shop))
    member(shop, password=None)
    member(shop, is_active=False)
    UserFactory(password=make_password(None)).memberships.create(organisation=shop, roles=[Role.MEMBER])  # not accepted
    counts = {row["short_name"]: int(row["people_without_factor"]) for row in filed(ada)}

    people = {slug: roster.without_factor(roster.people_of(get(slug))).count() for slug in counts}
    assert counts == people
    assert (counts["shop"], counts["lab"]) == (3, 1)


def test_who_only_reads_sees_the_settings_alone(agency):
    prepare()
    vic = logged_in_client(member(agency, Role.MEMBER))
    page = vic.get("/aurora/environments/").text

    assert shown(vic, "?show=late") == ["shop", "depot", "desk", "lab"]  # as if it was not asked
    assert "without_factor" not in page
    assert "Late" not in page
    rows = filed(vic)
    assert {
        row["late"] + row["oldest_data"] + row["people_without_factor"] + row["access_requests"] for row in rows
    } == {""}


def test_it_exists_for_organisations_above_environments_and_for_nobody_else(agency, ada):
    stranger = logged_in_client(member(get("elsewhere")))
    assert [stranger.get(f"/aurora/environments{end}").status_code for end in ("/", ".csv")] == [404, 404]
    assert [ada.get(f"/shop/environments{end}").status_code for end in ("/", ".csv")] == [404, 404]
    assert CODES.findall(ada.get("/bakker/environments/").text) == ["shop", "depot"]


def test_people_of_an_agency_land_on_it_and_those_of_an_environment_do_not(agency, ada):
    ada.get("/shop/")
    assert ada.get("/").url == "/aurora/environments/"
    assert logged_in_client(member(get("shop"))).get("/").url == "/shop/"


def test_people_of_a_suspended_agency_land_elsewhere(agency):
    leo = member(agency)
    leo.memberships.create(organisation=get("elsewhere"), roles=[Role.MEMBER], accepted_at=timezone.now())
    agency.suspended_at = timezone.now()
    agency.is_suspended = True
    agency.save()
    assert logged_in_client(leo).get("/").url != "/aurora/environments/"


def test_the_file_has_every_page_of_the_table(agency, ada):
    for number in range(60):
        environment(parent=agency, slug=f"extra-{number}")
    everything = shown(ada) + shown(ada, "?page=2")
    assert len(everything) == 64
    assert [row["short_name"] for row in filed(ada)] == everything


HEADINGS = re.compile(r'<tr class="table__heading" data-depth="(\d)">\s*<th[^>]*>\s*<a[^>]*>([^<]*)</a>')
LINES = re.compile(r'class="table__link"\s+href="/([\w-]+)/(environments)?')


def headed(client, query: str = "") -> list[str]:
    """The headings, in capitals, and the environments of a page, by their short names in its order."""
    found = LINES.findall(client.get(f"/aurora/environments/{query}").text)
    return [slug.upper() if is_heading else slug for slug, is_heading in found]


def test_a_tree_has_its_customers_as_headings_and_a_flat_list_has_none(ada):
    assert headed(ada) == ["BAKKER", "shop", "depot", "COHEN", "desk", "lab"]
    assert headed(ada, "?sort=flat") == ["shop", "depot", "desk", "lab"]
    assert headed(ada, "?sort=name") == ["depot", "desk", "lab", "shop"]
    assert headed(ada, "?q=desk") == ["COHEN", "desk"]


def test_headings_say_how_deep_they_are_and_begin_each_page(agency, ada):
    market = organisation(Kind.MARKET, name="North")
    agency.refresh_from_db()
    agency.move(market, "last-child")
    page = logged_in_client(member(market)).get(f"/{market.slug}/environments/").text
    assert HEADINGS.findall(page) == [("1", "Aurora"), ("2", "Bakker"), ("2", "Cohen")]
    for number in range(60):
        environment(parent=get("bakker"), slug=f"extra-{number}")
    assert headed(ada, "?page=2")[:2] == ["BAKKER", "extra-48"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?customers=Bakker", ["shop", "depot"]),
        ("?customers=bakk,+cohen", ["shop", "depot", "desk"]),
        ("?customers=cohen,nobody", ["desk"]),
        ("?customers=shop", []),  # no customer
        ("?customers=Aurora", []),  # the organisation itself is none of its customers
        ("?customers=,+,", ["shop", "depot", "desk", "lab"]),
        ("?customers=bakker,cohen&q=de", ["depot", "desk"]),
        ("?customers=bakker,cohen&show=without_factor", ["depot"]),
    ],
)
def test_several_customers_narrow_page_file_and_bulk_change_alike(agency, query, found):
    prepare()
    person = member(agency, email="bulk@aurora.test")
    give_app(person)
    ada = logged_in_client(person)
    assert shown(ada, query) == found
    assert [row["short_name"] for row in filed(ada, query)] == found
    chosen = ada.get("/aurora/environments/change/", {"all": "on", "filter": query.removeprefix("?")})
    assert re.findall("<li>(\\w+)</li>", chosen.text) == [get(slug).name for slug in found]
