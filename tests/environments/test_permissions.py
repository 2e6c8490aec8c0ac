"""The permission table: every role against every page and REST action of an organisation."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from environments.access import permissions_in
from environments.choices import PERMISSIONS, Permission, Role
from environments.keys.services import mint_own_key
from tests import factories

pytestmark = pytest.mark.django_db
PAGES = {
    "/acme/": Permission.VIEW,
    "/acme/organisation/": Permission.VIEW,
    "/acme/conversations/": Permission.READ_CONVERSATIONS,
    "/acme/contacts/": Permission.READ_CONVERSATIONS,
    "/acme/members/": Permission.MANAGE_MEMBERS,
    "/acme/access-requests/": Permission.ANSWER_ACCESS_REQUESTS,
    "/acme/settings/": Permission.CHANGE_SETTINGS,
    "/acme/settings/advanced/": Permission.CHANGE_ADVANCED_SETTINGS,
    "/acme/audit/": Permission.READ_AUDIT_LOG,
}
REST = {
    ("get", "/api/v1/organisations/acme/"): Permission.VIEW,
    ("get", "/api/v1/organisations/acme/settings/"): Permission.VIEW,
    ("patch", "/api/v1/organisations/acme/settings/"): Permission.CHANGE_ADVANCED_SETTINGS,
    ("get", "/api/v1/environments/acme/conversations/"): Permission.READ_CONVERSATIONS,
    ("post", "/api/v1/environments/acme/conversations/"): Permission.INGEST,
}
WHO = [*Role, "above", "stranger", "sibling", "not accepted", "expired"]


@pytest.fixture
def agency():
    return factories.organisation(name="Noorderlicht", slug="noorderlicht")


@pytest.fixture
def acme(agency):
    return factories.environment(parent=agency, name="Acme", slug="acme")


def somebody(who: str, acme, agency) -> tuple[User, frozenset[Permission]]:
    """Return a user and what the table says that he may in Acme."""
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


def expected(may: Permission, held: frozenset[Permission]) -> int:
    return 404 if not held else 200 if may in held else 403


@pytest.mark.parametrize("who", WHO)
def test_pages_open_to_whom_the_table_says(client, acme, agency, who):
    user, held = somebody(who, acme, agency)
    client.force_login(user)
    answered = {page: client.get(page).status_code for page in PAGES}
    assert answered == {page: expected(may, held) for page, may in PAGES.items()}


@pytest.mark.parametrize("who", WHO)
def test_rest_actions_are_open_to_whom_the_table_says(acme, agency, who):
    user, held = somebody(who, acme, agency)
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {mint_own_key(user, name='t', by=None, now=timezone.now())[1]}")
    for (method, address), may in REST.items():
        body = {"archival": "keep"} if method == "patch" else {}
        status = getattr(api, method)(address, body, format="json").status_code
        wanted = expected(may, held)
        assert status == wanted or (method == "post" and wanted == 200 and status == 400), (method, address, status)


def test_a_super_user_may_everything(acme):
    root = User.objects.create_superuser("root@example.test", factories.PASSWORD)
    assert permissions_in(root, acme) == frozenset(Permission)


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_gets_the_same_page_whether_it_exists_or_not(client, acme, page):
    client.force_login(factories.UserFactory(name="Mallory"))
    client.get(page)
    elsewhere = page.replace("acme", "qzqz")
    with CaptureQueriesContext(connection) as there:
        first = client.get(page)
    with CaptureQueriesContext(connection) as nowhere:
        second = client.get(elsewhere)
    assert (first.status_code, second.status_code) == (404, 404)
    assert len(there) == len(nowhere)
    assert masked(first.content, b"acme") == masked(second.content, b"qzqz")


def masked(content: bytes, slug: bytes) -> bytes:
    return re.sub(rb'name="csrfmiddlewaretoken" value="[^"]+"', b"", content.replace(slug, b"slug"))
