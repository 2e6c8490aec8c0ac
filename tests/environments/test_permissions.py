"""The permission table: every role against every page and REST action of an organisation."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from uuid import UUID

import pytest
from django.db import connection
from django.http import Http404, HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from django.utils.html import escape
from rest_framework.test import APIClient

from accounts.models import User
from environments.access import granted_to, permissions_in, reach
from environments.caller import SYSTEM, Caller
from environments.choices import PERMISSIONS, Kind, Permission, Role
from environments.keys.services import create_personal_key
from environments.models import AccessRequest, ApiKey
from tests import factories
from tests.authorization.expected import OF_ORGANISATIONS, Needed
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db


def needed(needs: Needed | Mapping[str, Needed] | None) -> Permission:
    """Return the one permission that a line needs; of a form with several acts, that of the first."""
    first = next(iter(needs.values())) if isinstance(needs, Mapping) else needs
    (permission,) = first
    return permission


# What each page below an organisation's short name requires, and each REST action on an organisation: by URL name.
PAGES = {
    name: needed(line.get or line.post)
    for name, line in OF_ORGANISATIONS.items()
    if not (line.is_rest or line.of_deletion)
}
REST = {
    (method, name): needed(getattr(line, method))
    for name, line in OF_ORGANISATIONS.items()
    for method in ("get", "post", "patch")
    if line.is_rest and getattr(line, method)
}
ABOVE_ENVIRONMENTS = {name for name, line in OF_ORGANISATIONS.items() if Kind.ENVIRONMENT not in line.kinds}
# Ids of nothing.
NOBODY = {"slug": "acme", "pk": 2**31 - 1, "number": 2**31 - 1, "seq": 1, "uuid": UUID(int=1), "key": "none"}
NAMED_BY_FORM = {"environments:check-domain"}
# The words by which the line of a role names a permission; VIEW goes without saying.
WORDS = {
    Permission.VIEW: "",
    Permission.READ_CONVERSATIONS: "read conversations and contacts",
    Permission.INGEST: "store conversations",
    Permission.CHANGE_SETTINGS: "change the general settings",
    Permission.CHANGE_ADVANCED_SETTINGS: "change the advanced settings",
    Permission.MANAGE_MEMBERS: "manage members",
    Permission.ANSWER_ACCESS_REQUESTS: "answer access requests",
    Permission.READ_AUDIT_LOG: "read the audit log",
    Permission.USE_API_KEYS: "use API keys of their own",
    Permission.HOLD: "place legal holds",
    Permission.ERASE: "erase contacts",
    Permission.EXPORT: "export data",
    Permission.IMPERSONATE: "impersonate members",
    Permission.CREATE: "create and delete organisations",
    Permission.DELETE: "create and delete organisations",
    Permission.MANAGE_API_KEYS: "manage their API keys",
    Permission.MANAGE_PROVIDERS: "and identity providers",
}
ALL_OF = {"other roles can": [*Role][1:], "an Environment manager can": [Role.ENVIRONMENT_MANAGER]}
WHO = [*Role, "above", "stranger", "sibling", "not accepted", "expired"]


def somebody(who: str, acme, agency) -> tuple[User, frozenset[Permission]]:
    """Return a user and the permissions that the table gives them in Acme."""
    if who in Role.values:
        return factories.member(acme, who), PERMISSIONS[Role(who)]
    if who == "above":
        return factories.member(agency, Role.MEMBER), PERMISSIONS[Role.MEMBER]
    if who == "sibling":
        return factories.member(factories.environment(parent=agency)), frozenset()
    user = factories.member(acme) if who != "stranger" else factories.UserFactory()
    if who == "not accepted":
        user.memberships.update(accepted_at=None)
    if who == "expired":
        user.memberships.update(expires_at=timezone.now())
    return user, frozenset()


@cache
def views_below_a_slug() -> dict[str, URLPattern]:
    """Return every address that has an organisation's short name at its start, or after ``/api/v1/…/``, by name."""
    return {name: pattern for route, name, pattern in views() if re.match(r"(api/v1/\w+/)?<slug:slug>/", route)}


def views(
    resolver: URLResolver | None = None, route: str = "", space: str = ""
) -> Iterator[tuple[str, str, URLPattern]]:
    for entry in (resolver or get_resolver()).url_patterns:
        here = route + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from views(entry, here, f"{space}{entry.namespace}:" if entry.namespace else space)
        else:
            yield here, f"{space}{entry.name}", entry


def address_of(name: str, **instead: str) -> str:
    wanted = views_below_a_slug()[name].pattern.converters
    return reverse(name, kwargs={key: value for key, value in (NOBODY | instead).items() if key in {"slug", *wanted}})


def answer(client, address: str) -> HttpResponse:
    """Return what the page answers: to POST where it takes nothing else."""
    got = client.get(address)
    return got if got.status_code != 405 else client.post(address)


def expected(permission: Permission, held: frozenset[Permission], name: str) -> set[int]:
    """Return the statuses that fit. Behind the door there is no 403, and 404 only where the id is of nothing."""
    if name in ABOVE_ENVIRONMENTS:
        return {404}
    if permission not in held:
        return {403} if held else {404}
    ids = views_below_a_slug()[name].pattern.converters.keys() & (NOBODY.keys() - {"slug"})
    return {302, 400, 404} if ids or name in NAMED_BY_FORM else {200, 302, 400}


def test_the_tables_name_every_page_and_every_rest_action_of_an_organisation():
    methods = ("get", "post", "put", "patch", "delete")
    actions, pages = set(), set()
    for name, pattern in views_below_a_slug().items():
        if view := getattr(pattern.callback, "view_class", None):
            actions |= {(method, name) for method in methods if hasattr(view, method)}
        else:
            pages.add(name)
    assert pages == PAGES.keys()
    assert actions == REST.keys()


@pytest.mark.parametrize("who", WHO)
def test_pages_open_to_whom_the_table_says(client, acme, agency, who):
    user, held = somebody(who, acme, agency)
    client.force_login(user)
    answered = {name: answer(client, address_of(name)).status_code for name in PAGES}
    wrong = {name: code for name, code in answered.items() if code not in expected(PAGES[name], held, name)}
    assert wrong == {}


@pytest.mark.parametrize("who", WHO)
def test_rest_actions_are_open_to_whom_the_table_says(acme, agency, who):
    user, held = somebody(who, acme, agency)
    api = APIClient()
    api.credentials(
        HTTP_AUTHORIZATION=f"Bearer {create_personal_key(user, name='t', by=SYSTEM, now=timezone.now())[1]}"
    )
    for (method, name), permission in REST.items():
        body = {"archival": "keep"} if method == "patch" else {}
        status = getattr(api, method)(address_of(name), body, format="json").status_code
        assert status in expected(permission, held, name), (method, name, status)


@pytest.mark.parametrize("role", Role)
def test_the_line_of_a_role_names_its_permissions_and_no_other(role):
    line = role.allows[0].lower() + role.allows[1:]
    named = {permission for permission, words in WORDS.items() if words in line}
    roles = [other for words, others in ALL_OF.items() if words in line for other in others]
    assert named.union(*(PERMISSIONS[other] for other in roles)) == PERMISSIONS[role]


@pytest.mark.parametrize(
    "page",
    ["/acme/members/", "/acme/members/{member}/", "/acme/access-requests/", "/acme/settings/", "/acme/api-keys/"],
)
def test_where_roles_are_chosen_each_says_what_it_allows(client, acme, page):
    vic = factories.member(acme, Role.MEMBER)
    AccessRequest.objects.create(organisation=acme, user=factories.UserFactory())
    log_in(client, factories.member(acme))
    shown = client.get(page.format(member=vic.memberships.get().pk)).text
    lines = re.findall(
        r'aria-describedby="(\S+_explanation)".*?<p class="check__means" id="(\S+)">(.*?)</p>', shown, re.DOTALL
    )
    assert [line for _, _, line in lines] == [escape(role.allows) for role in Role]
    assert [label == described for label, described, _ in lines] == [True] * len(Role)


def test_a_super_user_has_every_permission(acme):
    root = User.objects.create_superuser("root@example.test", factories.PASSWORD)
    assert permissions_in(Caller.of(root), acme) == frozenset(Permission)


def test_the_door_finds_in_one_query_what_counts_for_the_caller(agency, acme, django_assert_num_queries):
    ada, now = factories.member(acme, Role.DEVELOPER), timezone.now()
    elsewhere = factories.environment()
    for where, accepted_at, expires_at in (
        (agency, now, now + timedelta(days=1)),
        (elsewhere, now, None),
        (factories.environment(), None, None),
        (factories.environment(), now, now - timedelta(days=1)),
    ):
        ada.memberships.create(organisation=where, roles=[Role.MEMBER], accepted_at=accepted_at, expires_at=expires_at)
    key = ApiKey(owner=ada, ended_in=[elsewhere.pk, agency.pk])
    for caller, places in (
        (Caller.of(ada), {agency.pk, acme.pk, elsewhere.pk}),
        (Caller.by_key(key), {acme.pk}),
        (Caller.of(User.objects.create_superuser("root@example.test", factories.PASSWORD)), set()),
        (SYSTEM, set()),
    ):
        with django_assert_num_queries(1):
            access = reach(caller, "acme")
        assert access.granted == granted_to(caller)
        assert {each.organisation_id for each in access.granted} == places
        assert access.above == [agency]
    with pytest.raises(Http404):
        reach(Caller.of(factories.member(elsewhere)), "acme")


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_gets_the_same_page_whether_it_exists_or_not(client, acme, page):
    client.force_login(factories.UserFactory(name="Mallory"))
    answer(client, address_of(page))
    with CaptureQueriesContext(connection) as there:
        first = answer(client, address_of(page))
    with CaptureQueriesContext(connection) as nowhere:
        second = answer(client, address_of(page, slug="qzqz"))
    assert (first.status_code, second.status_code) == (404, 404)
    assert len(there) == len(nowhere)
    assert masked(first.content, b"acme") == masked(second.content, b"qzqz")


def test_a_member_without_the_role_reads_where_they_lack_it_and_keeps_the_side_bar(client, acme):
    client.force_login(factories.member(acme, Role.MEMBER))
    page = client.get("/acme/members/").text
    assert "This needs a role that you do not have in Acme." in page
    assert '<a class="button" href="/acme/">' in page
    assert 'id="side"' in page


def masked(content: bytes, slug: bytes) -> bytes:
    return re.sub(rb'name="csrfmiddlewaretoken" value="[^"]+"', b"", content.replace(slug, b"slug"))
