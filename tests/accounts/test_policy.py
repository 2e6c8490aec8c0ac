"""The policy changes while people are logged in: each change bites a password's session at its very next request."""

import pytest
from django.test import Client
from rest_framework.test import APIClient

from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.keys.services import create_personal_key
from environments.models import Membership, Organisation
from environments.tree.services import move_organisation, resume, suspend
from tests.accounts.conftest import require_mfa
from tests.accounts.test_sweep import is_turned_away
from tests.factories import NOW, conversation, environment, member, organisation
from tests.logging_in import give_password, is_let_in, log_in

SETTINGS = "/api/v1/organisations/acme/settings/"


@pytest.fixture
def globex(db) -> Organisation:
    """An environment that requires nothing."""
    return environment(name="Globex", slug="globex")


@pytest.mark.way("Policy: the environment moved to another agency", "Policy: inherited from a node above")
def test_an_environment_moved_below_an_agency_that_requires_it_asks_its_members_at_once(client, ada, acme):
    strict_agency = organisation()
    require_mfa(strict_agency)
    give_password(client, ada)
    assert is_let_in(client)
    move_organisation(acme, to=strict_agency, by=SYSTEM, now=NOW)
    assert not is_let_in(client)


@pytest.mark.way("Policy: the environment moved to another agency", "Policy: access only through an agency")
def test_the_people_of_the_agency_that_it_is_moved_to_are_asked_at_once_and_those_of_the_old_one_no_more(acme, globex):
    require_mfa(acme)
    old, new = Organisation.objects.get_parent(acme), Organisation.objects.get_parent(globex)
    leaving, coming = Client(), Client()
    give_password(coming, member(new, email="coming@globex.test"))
    leaving.force_login(member(old, email="leaving@acme.test"))
    assert (is_let_in(coming), is_let_in(leaving)) == (True, False)
    move_organisation(acme, to=new, by=SYSTEM, now=NOW)
    assert (is_let_in(coming), is_let_in(leaving)) == (False, True)


@pytest.mark.way("Policy: the environment suspended, and open again")
def test_a_suspended_environment_opens_to_nobody_and_asks_again_once_it_is_back(client, ada, strict):
    client.force_login(ada)
    suspend(strict, by=SYSTEM, now=NOW)
    assert client.get("/acme/settings/").status_code == 403
    assert client.get(SETTINGS).status_code == 403
    resume(strict, by=SYSTEM, now=NOW)
    assert is_turned_away(client.get("/acme/settings/"))


@pytest.mark.way("Policy: leaving the requiring organisation with only the password")
def test_nobody_leaves_the_requiring_organisation_with_a_password_alone(client, ada, strict):
    own = Membership.objects.get(user=ada)
    client.force_login(ada)
    half = Client()
    give_password(half, ada)
    for visitor in (client, half):
        for address in (f"/acme/members/{own.pk}/remove/", f"/acme/members/{own.pk}/"):
            assert is_turned_away(visitor.post(address, {"roles": ["member"]}))
    assert Membership.objects.get(user=ada).roles == [Role.ADMINISTRATOR]


@pytest.mark.way(
    "Policy: another environment visited", "Policy: reads left open while writes are gated", "Doors: exports"
)
def test_a_password_alone_reads_nothing_in_an_environment_that_requires_nothing_either(client, ada, strict, globex):
    Membership.objects.create(user=ada, organisation=globex, roles=[Role.ADMINISTRATOR], accepted_at=NOW)
    conversation(of=globex, now=NOW)
    client.force_login(ada)
    pages = [
        "",
        "conversations/",
        "contacts/",
        "members/",
        "settings/",
        "settings/advanced/",
        "audit/",
        "audit/export/",
    ]
    for page in [*pages, "retention/", "retention/receipts.csv", "organisation/"]:
        assert is_turned_away(client.get(f"/globex/{page}")), page
    for address in ("", "globex/", "globex/settings/"):
        assert client.get(f"/api/v1/organisations/{address}").json()["code"] == "mfa_required"


@pytest.mark.way("Policy: previews left open while writes are gated")
def test_a_password_alone_previews_nothing(client, ada, strict):
    client.force_login(ada)
    typed = {"do": "archival", "archival": "limit", "archive_after_days": "30"}
    for headers in ({}, {"HX-Request": "true"}):
        for ask in (client.post, client.get):
            assert is_turned_away(ask("/acme/settings/advanced/", typed, headers=headers))


@pytest.mark.way("Policy: personal tokens left open while writes are gated")
def test_a_persons_key_reads_nothing_while_its_owner_does_not_comply(ada, acme, globex):
    Membership.objects.create(user=ada, organisation=globex, roles=[Role.ADMINISTRATOR], accepted_at=NOW)
    raw = create_personal_key(ada, name="script", by=Caller.of(ada), now=NOW)[1]
    caller = APIClient(HTTP_AUTHORIZATION=f"Bearer {raw}")
    addresses = ["organisations/", "organisations/globex/settings/", "environments/globex/conversations/", "schema/"]
    assert {caller.get(f"/api/v1/{address}").status_code for address in addresses} == {200}
    require_mfa(acme)
    for address in addresses:
        refused = caller.get(f"/api/v1/{address}")
        assert (refused.status_code, refused.json()["code"]) == (403, "mfa_required"), address


@pytest.mark.way("Policy: PATCH by a role without the permission")
@pytest.mark.parametrize("role", [Role.ENVIRONMENT_MANAGER, Role.DEVELOPER, Role.MEMBER])
def test_a_role_without_the_permission_cannot_patch_the_requirement_away(strict, role):
    user = member(strict, role)
    caller = APIClient()
    log_in(caller, user)
    for value in ("off", "inherit"):
        refused = caller.patch(SETTINGS, {"require_mfa": value}, format="json")
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    strict.refresh_from_db()
    assert strict.effective_require_mfa


@pytest.mark.way("Policy: PATCH by a role without the permission")
def test_a_password_alone_cannot_patch_the_requirement_away(client, ada, strict):
    client.force_login(ada)
    refused = client.patch(SETTINGS, {"require_mfa": "off"}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "mfa_required")
    client.post("/acme/settings/advanced/", {"do": "mfa", "require_mfa": "off"})
    strict.refresh_from_db()
    assert strict.effective_require_mfa
