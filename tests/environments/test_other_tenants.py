"""Every address with another tenant's ids, below their short name and below one's own: it does not exist."""

import re

import pytest
from django.urls import get_resolver
from django.utils import timezone

from archival.holds.services import place_hold
from archival.models import Hold
from audit.models import Event
from environments.caller import Caller
from environments.choices import Role
from environments.invitation_links.services import create_link
from environments.invitations.services import invite
from environments.keys.services import create_organisation_key, create_personal_key
from environments.models import (
    AccessRequest,
    ApiKey,
    Invitation,
    InvitationLink,
    Membership,
    Organisation,
    OrganisationDomain,
)
from tests import factories
from tests.accounts.test_sweep import patterns
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
FORM = {
    "do": "remove",
    "roles": [Role.ADMINISTRATOR],
    "email": "mallory@globex.test",
    "name": "Taken",
    "lasts": "30",
    "typed_name": "Acme",
    "require_mfa": "off",
    "archival": "limit",
    "archive_after_days": "1",
    "reason": "x",
}
ANSWERS_EVERYBODY_ALIKE = {"ask-access"}  # test_members.py


@pytest.fixture
def acme():
    acme = factories.environment(name="Acme", slug="acme")
    ada, now = factories.member(acme, email="ada@acme.test"), timezone.now()
    factories.conversation(of=acme, now=now)
    invite(acme, email="new@acme.test", roles=[Role.MEMBER], by=Caller.of(ada), now=now)
    create_link(acme, roles=[Role.MEMBER], by=Caller.of(ada), now=now)
    create_organisation_key(acme, name="bot", roles=[Role.MEMBER], by=Caller.of(ada), now=now)
    place_hold(acme, reason="a court asked", contact=None, conversation=None, until=None, by=Caller.of(ada), now=now)
    AccessRequest.objects.create(organisation=acme, user=factories.UserFactory())
    OrganisationDomain.objects.create(organisation=acme, domain="acme.test", token="token")
    return acme


def addresses(acme: Organisation, *, slug: str) -> list[str]:
    """Return every address below a short name; its ids are Acme's."""
    talk = acme.conversations.get()
    ids = {
        "members": acme.memberships.get().pk,
        "invitations": acme.invitations.get().pk,
        "links": acme.invitation_links.get().pk,
        "api-keys": acme.api_keys.get().uuid,
        "access-requests": acme.access_requests.get().uuid,
        "holds": Hold.objects.get().uuid,
        "contacts": talk.contact.uuid,
        "conversations": talk.uuid,
    }
    found = []
    for route, pattern in patterns(get_resolver()):
        if "<slug:slug>" not in route or pattern.name in ANSWERS_EVERYBODY_ALIKE:
            continue
        address = "/" + route.replace("<slug:slug>", slug)
        for kind, number in ids.items():
            address = re.sub(rf"(/{kind}/)<(?:int:pk|uuid:uuid)>", rf"\g<1>{number}", address)
        found.append(re.sub(r"<int:\w+>", "0", re.sub(r"<uuid:\w+>", str(talk.uuid), address)))
    return found


def standing(acme: Organisation) -> list[object]:
    models = (Membership, Invitation, InvitationLink, ApiKey, AccessRequest, OrganisationDomain)
    rows = [list(model.objects.filter(organisation=acme).order_by("pk").values()) for model in models]
    events = Event.objects.filter(organisation_id=acme.pk).count()
    return [*rows, list(Hold.objects.values()), Organisation.objects.filter(pk=acme.pk).values().get(), events]


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.ENVIRONMENT_MANAGER, Role.DEVELOPER])
def test_no_address_of_another_tenant_answers_or_changes_anything(client, acme, role):
    mallory = factories.member(factories.environment(name="Globex", slug="globex"), role)
    log_in(client, mallory)
    raw = create_personal_key(mallory, name="script", by=Caller.of(mallory), now=timezone.now())[1]
    theirs = addresses(acme, slug="acme")
    domain = acme.domains.get().pk
    before, answered = standing(acme), []
    for address in theirs:
        for method in METHODS:
            headers = {"Authorization": f"Bearer {raw}"} if address.startswith("/api/") else {}
            if method == "POST":
                answer = client.post(address, {**FORM, "domain": domain}, headers=headers)
            else:
                answer = client.generic(method, address, "{}", content_type="application/json", headers=headers)
            if answer.status_code not in {404, 405, 415}:
                answered.append(f"{method} {address}: {answer.status_code}")
    assert len(theirs) > 40
    assert answered == []
    assert standing(acme) == before


def test_no_id_of_another_tenant_is_found_below_one_s_own_short_name(client, acme):
    mallory = factories.member(factories.environment(name="Globex", slug="globex"))
    log_in(client, mallory)
    own = addresses(acme, slug="globex")
    with_ids = [address for address in own if re.search(r"/(\d+|[0-9a-f-]{36})/", address)]
    before, answered = standing(acme), []
    for address in with_ids:
        for method in METHODS:
            answer = client.generic(method, address) if method != "POST" else client.post(address, FORM)
            if answer.status_code not in {404, 405} and not address.startswith("/api/"):
                answered.append(f"{method} {address}: {answer.status_code}")
    client.post("/globex/settings/domains/", {"do": "remove", "domain": acme.domains.get().pk})
    assert len(with_ids) > 15
    assert answered == []
    assert standing(acme) == before
