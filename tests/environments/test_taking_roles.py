"""Nobody takes away, lowers or replaces a role that they could not give, nor a sensitive one without step-up."""

import re

import pytest
from django.utils import timezone

from accounts.models import SessionRecord
from environments.caller import Caller
from environments.choices import Role
from environments.invitations.services import invite
from environments.models import Invitation, Membership, Organisation
from tests import factories
from tests.logging_in import expire_step_up, log_in

pytestmark = pytest.mark.django_db
SENSITIVE = [Role.ADMINISTRATOR, Role.ORGANISATION_MANAGER]


@pytest.fixture
def ada(ada, client):
    """Ada, whose session is open but not stepped up any more."""
    log_in(client, ada)
    expire_step_up()
    return ada


@pytest.fixture
def emma(acme, client):
    """Emma manages the environment, in a session that is stepped up."""
    emma = factories.member(acme, Role.ENVIRONMENT_MANAGER, email="emma@example.test")
    log_in(client, emma)
    return emma


def invited(acme, role, *, by):
    return invite(acme, email="ivy@example.test", roles=[role], by=Caller.of(by), now=timezone.now())


def ways_to_take(acme, role, *, by):
    """Return every request by which somebody loses ``role``, or the prospect of it."""
    bea, invitation = factories.member(acme, role), invited(acme, role, by=by)
    Organisation.objects.filter(pk=acme.pk).update(auto_invite_roles=[role])
    member = f"/acme/members/{bea.memberships.get().pk}/"
    return [
        (member, {"roles": [Role.MEMBER]}),
        (f"{member}remove/", {}),
        ("/acme/members/", {"email": "Ivy@Example.test", "roles": [Role.MEMBER]}),
        (f"/acme/invitations/{invitation.pk}/", {"do": "withdraw"}),
        ("/acme/settings/", {"do": "auto-invite", "roles": [Role.MEMBER]}),
        ("/acme/settings/", {"do": "auto-invite", "roles": []}),
    ]


def standing():
    invitations = list(Invitation.objects.order_by("pk").values_list("pk", "roles", "token_hash"))
    roles = list(Membership.objects.order_by("pk").values_list("pk", "roles"))
    return roles, invitations, Organisation.objects.get(slug="acme").auto_invite_roles


@pytest.mark.parametrize("role", SENSITIVE)
def test_a_sensitive_role_is_taken_in_a_stepped_up_session_alone(client, acme, ada, role):
    ways = ways_to_take(acme, role, by=ada)
    before = standing()
    for path, typed in ways:
        assert client.post(path, typed).url.startswith("/profile/security/confirm/"), (path, typed)
    assert standing() == before
    SessionRecord.objects.update(stepped_up_at=timezone.now())
    assert client.post(ways[1][0]).url == "/acme/members/"
    assert not Membership.objects.filter(organisation=acme, roles=[role]).exclude(user=ada).exists()


def test_leaving_as_an_administrator_asks_for_step_up(client, acme, ada):
    factories.member(acme)
    path = f"/acme/members/{ada.memberships.get().pk}/remove/"
    assert client.post(path).url.startswith("/profile/security/confirm/")
    assert ada.memberships.exists()


def test_a_plain_member_is_removed_without_asking_again(client, acme, ada):
    vic = factories.member(acme, Role.MEMBER)
    assert client.post(f"/acme/members/{vic.memberships.get().pk}/remove/").url == "/acme/members/"
    assert not vic.memberships.exists()


def test_nobody_takes_a_role_with_more_permissions_than_their_own(client, acme, emma):
    ways = ways_to_take(acme, Role.ADMINISTRATOR, by=factories.member(acme))
    before = standing()
    for path, typed in ways:
        client.post(path, typed)
        assert standing() == before, (path, typed)


@pytest.mark.parametrize("do", ["again", "withdraw"])
def test_the_page_says_why_an_invitation_of_a_higher_role_stays(client, acme, emma, do):
    invitation = invited(acme, Role.ADMINISTRATOR, by=factories.member(acme))
    answer = client.post(f"/acme/invitations/{invitation.pk}/", {"do": do})
    assert answer.status_code == 403
    answer = client.post("/acme/members/", {"email": invitation.email, "roles": [Role.MEMBER]})
    assert answer.status_code == 403
    assert "more permissions than your own" in answer.content.decode()
    assert Invitation.objects.get().token_hash == invitation.token_hash


def test_an_invitation_that_has_expired_is_replaced_and_withdrawn_by_anybody_who_invites(client, acme, emma):
    invitation = invited(acme, Role.ADMINISTRATOR, by=factories.member(acme))
    Invitation.objects.update(expires_at=timezone.now())
    client.post("/acme/members/", {"email": invitation.email, "roles": [Role.MEMBER]})
    assert Invitation.objects.get().roles == [Role.MEMBER]


def test_auto_invite_roles_with_more_permissions_are_shown_and_not_offered(client, acme, emma):
    Organisation.objects.filter(pk=acme.pk).update(auto_invite_roles=[Role.ADMINISTRATOR])
    page = client.get("/acme/settings/").content.decode()
    assert 'value="auto-invite"' not in page
    assert "These roles have more permissions than your own" in page


def test_a_stranger_reads_the_same_at_a_short_name_that_is_taken_and_at_a_free_one(client, acme):
    other = factories.environment(name="Globex", slug="globex")
    log_in(client, factories.member(other))
    taken, free = (client.get(f"/{slug}/members/") for slug in ("acme", "acm2"))
    assert (taken.status_code, free.status_code) == (404, 404)
    pages = [re.sub(r'value="\w{64}"', "", answer.content.decode()) for answer in (taken, free)]  # tokens of forms
    assert pages[0].replace("acme", "acm2") == pages[1]
