"""Every page with the frame marks its section in the side bar, and nobody loses the administration on the way."""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import EmailChange
from agencies.bulk.services import start_bulk_change
from agencies.bulk.wanted import Wanted
from agencies.organisation_templates.services import create_template
from agencies.organisation_templates.values import TemplateValues
from archival.engine.run import purge
from archival.exports.services import continue_exports, request_exports
from archival.holds.services import place_hold
from archival.models import Guard, PurgeRun
from archival.policy.services import change_retention
from archival.requests.deletion import begin_deletion
from archival.requests.erasure import erase_contact
from environments.caller import Caller
from environments.choices import Role
from environments.domains.services import add_domain
from environments.invitation_links.services import create_link
from environments.invitations.services import invite
from environments.keys import services as keys
from environments.policies.retention import Retention
from studio import sections
from tests import factories
from tests.environments.test_permissions import views
from tests.factories import environment, member
from tests.logging_in import give_app, log_in
from tests.own_providers import own_provider
from tests.queries import count_queries

pytestmark = pytest.mark.django_db
PAGES = [
    sections.HOME,
    *sections.CONVERSATIONS,
    *sections.MANAGEMENT,
    *sections.ADMINISTRATION,
    *sections.PLATFORM,
    *sections.PROFILE,
]

# Pages with the side bar that are in no section, and why.
NO_SECTION = {
    "environments:access-asked": "whoever requested access stands before an organisation, not in one",
    "studio:switch": "it leads to every environment",
}
# What asks for an object that is hard to make, and draws no side bar anyway.
NOT_OPENED = {
    "accounts:go-on": "it sends again what a step-up interrupted, in the frame of the log-in pages",
    "conversations:attachment": "a file",
}
# Views that lead to another page, at least this user.
REDIRECTS = {"accounts:find-change-password", "accounts:new-recovery-codes", "accounts:second-factor-soon", "start"}
# REST, probes, and what people who have not logged in open.
OUTSIDE = re.compile(
    r"(api|dev|passkeys|sso)/|healthz|readyz|metrics|language/|password/|login/|verify/|join/|invitation/|invite/"
)
ROUTES = {name: route for route, name, _pattern in views() if not OUTSIDE.match(route)}
# For addresses that take POST alone.
NOTHING = {"key": "none", "pk": 2**31 - 1, "number": 2**31 - 1, "seq": 1, "uuid": UUID(int=1)}


def current(response) -> list[tuple[str, str]]:
    """Return the entries of the side bar that are marked, each with its label and its ``aria-current``."""
    marked = re.findall(r'class="side__link" href="[^"]*" aria-current="(\w+)">\s*<svg.*?</svg>([^<]+)', response.text)
    return [(label.strip(), kind) for kind, label in marked]


def side_bar(response) -> dict[str, str]:
    entries = re.findall(r'class="side__link" href="([^"]*)"[^>]*>\s*<svg.*?</svg>([^<]+)', response.text)
    return {label.strip(): address for address, label in entries}


@pytest.fixture
def root(acme):
    return member(acme, is_superuser=True)


@pytest.fixture
def objects(acme, agency, root) -> dict[str, dict[str, object]]:
    """Make one of everything that has a page, and return what is in its address, by the name of the view."""
    now, by = timezone.now(), Caller.of(root)
    made = factories.conversation(of=acme, days_ago=[40, 1], now=now)
    erased = erase_contact(factories.conversation(of=acme, now=now).contact, by=by, now=now)
    purge(now=now)
    Guard.objects.create(environment=acme, run=PurgeRun.objects.latest("pk"))
    mine, _raw = keys.create_personal_key(root, name="Laptop", by=by, now=now)
    theirs, _raw = keys.create_organisation_key(acme, name="Import", roles=[Role.DEVELOPER], by=by, now=now)
    vic = member(acme, Role.MEMBER)
    give_app(vic)
    going = environment(parent=agency, name="Going")
    person = {"pk": vic.memberships.get().pk}
    invitation = invite(acme, email="new@acme.example", roles=[Role.MEMBER], by=by, now=now)
    link, _token = create_link(acme, roles=[Role.MEMBER], by=by, now=now)
    domain = add_domain(acme, domain="a.example", by=by, now=now)
    change = change_retention(acme, to=Retention.limit(30), by=by, now=now)
    job = start_bulk_change(agency, [acme], wanted=Wanted(retention=Retention.keep()), by=by, now=now)
    template = create_template(agency, TemplateValues("Standard"), by=by, now=now)
    hold = place_hold(acme, reason="dispute", by=by, now=now)
    (export,) = request_exports([acme], by=by, now=now)
    continue_exports()
    identity = root.social_auth.create(provider="oidc-acme", uid="root", id_key="sub")
    EmailChange.objects.create(
        user=root,
        email="new@root.example",
        hash=EmailChange.hash_of("token"),
        auth_hash=root.get_session_auth_hash(),
        expires_at=now + timedelta(hours=1),
    )
    provider = {"key": own_provider(acme).key}
    app = {"?device": give_app(root).persistent_id}
    return {
        "accounts:confirm-email": {"token": "token"},
        "accounts:remove-factor": app,
        "accounts:rename-factor": app,
        "accounts:unlink-identity": {"?identity": identity.pk},
        "agencies:bulk-change": {"slug": agency.slug, "uuid": job.uuid},
        "agencies:bulk-change-csv": {"slug": agency.slug, "uuid": job.uuid},
        "agencies:bulk-change-progress": {"slug": agency.slug, "uuid": job.uuid},
        "agencies:change-environments": {"slug": agency.slug, "?environment": acme.slug},
        "agencies:create": {"slug": agency.slug},
        "agencies:create-list": {"slug": agency.slug},
        "agencies:delete-template": {"slug": agency.slug, "pk": template.pk},
        "agencies:environments": {"slug": agency.slug},
        "agencies:environments-csv": {"slug": agency.slug},
        "agencies:move": {"slug": acme.slug},
        "agencies:new-template": {"slug": agency.slug},
        "agencies:remove-user": {"slug": agency.slug, "pk": vic.pk},
        "agencies:revert-bulk-change": {"slug": agency.slug, "uuid": job.uuid},
        "agencies:template": {"slug": agency.slug, "pk": template.pk},
        "agencies:templates": {"slug": agency.slug},
        "agencies:user": {"slug": agency.slug, "pk": vic.pk},
        "agencies:users": {"slug": agency.slug},
        "agencies:users-csv": {"slug": agency.slug},
        "archival:apply-change": {"uuid": change.uuid},
        "archival:erase-contact": {"uuid": made.contact.uuid},
        "archival:erasure": {"uuid": erased.uuid},
        "archival:erasure-signed": {"uuid": erased.uuid},
        "archival:download-export": {"uuid": export.uuid, "number": 1},
        "archival:export": {"uuid": export.uuid},
        "archival:withdraw-export": {"uuid": export.uuid},
        "archival:release-hold": {"uuid": hold.uuid},
        "archival:run": {"number": PurgeRun.objects.latest("pk").pk},
        "conversations:contact": {"uuid": made.contact.uuid},
        "conversations:detail": {"uuid": made.uuid},
        "conversations:export-contact": {"uuid": made.contact.uuid},
        "conversations:text": {"uuid": made.uuid, "seq": 0},
        "deletion": {"uuid": begin_deletion(going, by=by, now=now).uuid},
        "environments:change-domains": {"?domain": domain.pk},
        "environments:change-invitation": {"pk": invitation.pk},
        "environments:delete-provider": provider,
        "environments:leave": {"pk": root.memberships.get().pk},
        "environments:member": person,
        "environments:provider": provider,
        "environments:remove-member": person,
        "environments:reset-factors": person,
        "environments:revoke-api-key": {"uuid": mine.uuid},
        "environments:revoke-invitation-link": {"pk": link.pk},
        "environments:revoke-organisation-key": {"uuid": theirs.uuid},
        "environments:turn-off-provider": provider,
    }


def open_view(client, name: str, given: dict[str, object]) -> HttpResponse:
    """Open a view with what is given for it, in the address or, with a question mark, in the query."""
    names = re.findall(r"<\w+:(\w+)>", ROUTES[name])
    everything = {"slug": "acme", **NOTHING, **given}
    query = "&".join(f"{key}={value}" for key, value in given.items() if key.startswith("?"))
    return client.get(reverse(name, kwargs={key: everything[key] for key in names}) + query)


def test_every_page_with_a_side_bar_marks_its_section_in_it(client, root, objects):
    log_in(Client(), root)  # so that there is another session to end
    log_in(client, root)
    wrong = {}
    for name in ROUTES.keys() - NOT_OPENED.keys():
        response = open_view(client, name, objects.get(name, {}))
        if response.status_code != (302 if name in REDIRECTS else 200) and response.status_code != 405:
            wrong[name] = f"answers {response.status_code}: make an object for it, or say why not"
        elif not response.streaming and b'id="side"' in response.content:
            marked = current(response)
            if len(marked) != (name not in NO_SECTION):
                wrong[name] = f"marks {marked}: name it in studio/sections.py"

    assert wrong == {}


def test_no_section_names_a_page_that_does_not_exist_or_that_another_has():
    inside = [name for page in PAGES for name in (page.view_name, *page.inside)]

    assert {name for name in inside if name not in ROUTES} == set()
    assert len(inside) == len(set(inside))


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/acme/members/", "Members"),
        ("/acme/retention/holds/", "Retention ledger"),
        ("/noorderlicht/organisation/", "Organisation"),
        ("/noorderlicht/compliance/", "Compliance"),
        ("/profile/", "Profile"),
    ],
)
def test_the_page_itself_and_a_page_inside_its_section_are_marked_differently(client, agency, acme, path, label):
    log_in(client, member(agency))

    assert current(client.get(path)) == [(label, "true" if "holds" in path else "page")]


EVERYWHERE = [
    "/profile/",
    "/profile/security/",
    "/profile/api-keys/",
    "/organisations/",
    "/switch/",
    "/nothing/at/all/",
]


def administration(response):
    found = side_bar(response)
    return [found.get("Organisation"), found.get("Compliance")]


def table(response) -> str | None:
    return side_bar(response).get("Environments")


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.ENVIRONMENT_MANAGER])
def test_the_administration_leads_to_the_nearest_organisation_from_every_page(client, agency, customer, acme, role):
    below = environment(parent=customer, name="Claims", slug="claims")
    talk = factories.conversation(of=below, now=timezone.now())
    log_in(client, member(agency, role))

    for path in [*EVERYWHERE, "/acme/", "/acme/members/", "/noorderlicht/"]:
        assert administration(client.get(path)) == ["/noorderlicht/organisation/", "/noorderlicht/compliance/"], path
        assert table(client.get(path)) == "/noorderlicht/environments/", path
    for path in ("/claims/", f"/claims/conversations/{talk.uuid}/", "/customer/"):
        assert administration(client.get(path)) == ["/customer/organisation/", "/customer/compliance/"], path
        assert table(client.get(path)) == "/customer/environments/", path


def test_the_administration_is_there_for_a_super_user_without_any_role(client, agency, acme):
    log_in(client, factories.UserFactory(is_superuser=True))

    for path in [*EVERYWHERE, "/acme/"]:
        assert administration(client.get(path)) == ["/noorderlicht/organisation/", "/noorderlicht/compliance/"], path


def test_who_manages_environments_alone_is_led_to_one_of_them(client, agency, acme):
    ada, other = member(acme), environment(parent=agency, name="Other", slug="other")
    other.memberships.create(user=ada, roles=[Role.ADMINISTRATOR], accepted_at=ada.created_at)
    log_in(client, ada)

    assert administration(client.get("/other/")) == ["/other/organisation/", "/other/compliance/"]
    assert administration(client.get("/profile/")) == ["/acme/organisation/", "/acme/compliance/"]
    assert {table(client.get(path)) for path in ("/other/", "/profile/")} == {None}  # there is nothing below either


def test_the_administration_leads_nowhere_that_its_reader_cannot_open(client, agency, acme, elsewhere):
    ada = member(agency)
    elsewhere.memberships.create(user=ada, roles=[Role.MEMBER], accepted_at=ada.created_at)
    log_in(client, ada)

    addresses = administration(client.get("/elsewhere/"))

    assert addresses == ["/elsewhere/organisation/", "/noorderlicht/compliance/"]
    assert [client.get(address).status_code for address in addresses] == [200, 200]


@pytest.mark.parametrize("path", [*EVERYWHERE, "/acme/"])
def test_a_member_of_one_environment_has_no_administration(client, acme, path):
    log_in(client, member(acme))

    assert administration(client.get(path)) == [None, None]


def test_an_environment_and_an_agency_have_one_plan(client, agency, acme):
    log_in(client, factories.UserFactory(is_superuser=True))
    here, above = (list(side_bar(client.get(path))) for path in ("/acme/", "/noorderlicht/"))

    assert [label for label in here if label not in ("Conversations", "Contacts")] == above
    assert here[:3] == ["Home", "Conversations", "Contacts"]
    assert above[-6:-2] == ["Organisation", "Compliance", "Usage", "Top of the tree"]
    assert above[-2:] == ["Slowed log-ins", "Platform audit log"]


@pytest.mark.urls("tests.ui.site")
@pytest.mark.parametrize(
    ("is_superuser", "path", "cost"),
    [
        (False, "/acme/home/", 5),
        (True, "/acme/home/", 5),
        (False, "/nothing/at/all/", 5),
        (True, "/nothing/at/all/", 4),
    ],
)
def test_the_frame_alone_costs_few_queries(client, acme, is_superuser, path, cost):
    """Session, user, its record with the factors; the organisation with those above and memberships, the frame's."""
    log_in(client, member(acme, is_superuser=is_superuser))

    assert count_queries(lambda: client.get(path)) == cost
