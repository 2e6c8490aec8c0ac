"""A session that is open but not stepped up gives nobody a role that needs step-up."""

import pytest
from django.utils import timezone

from accounts.models import SessionRecord
from environments.caller import Caller
from environments.choices import Role, are_sensitive
from environments.invitations.services import invite
from environments.models import AccessRequest, Invitation
from tests import factories
from tests.logging_in import expire_step_up, log_in

pytestmark = pytest.mark.django_db
SENSITIVE = [Role.ADMINISTRATOR, Role.ORGANISATION_MANAGER]
OTHERS = [Role.ENVIRONMENT_MANAGER, Role.DEVELOPER, Role.MEMBER]


@pytest.fixture
def ada(ada, client):
    """Ada, whose session is open but not stepped up any more."""
    log_in(client, ada)
    expire_step_up()
    return ada


def ways_to_give(acme, role, *, by):
    """Return every request by which somebody gets ``role``."""
    vic = factories.member(acme, Role.MEMBER)
    asked = AccessRequest.objects.create(organisation=acme, user=factories.UserFactory(email="mallory@example.test"))
    open_one = invite(acme, email="known@example.test", roles=[role], by=Caller.of(by), now=timezone.now())
    return {
        "/acme/members/": {"email": "mallory@example.test", "roles": [role]},
        f"/acme/members/{vic.memberships.get().pk}/": {"roles": [role]},
        f"/acme/invitations/{open_one.pk}/": {"do": "again"},
        f"/acme/access-requests/{asked.uuid}/": {"roles": [role]},
        "/acme/settings/": {"do": "auto-invite", "roles": [role]},
    }


def standing(acme):
    """Return who has which role, or may get it."""
    acme.refresh_from_db()
    invited = list(Invitation.objects.order_by("email").values_list("email", "roles", "token_hash"))
    return list(acme.memberships.order_by("pk").values_list("user", "roles")), invited, acme.auto_invite_roles


def test_the_roles_that_can_do_what_asks_for_step_up_are_known():
    assert [role for role in Role if are_sensitive([role])] == SENSITIVE
    assert are_sensitive([Role.MEMBER, Role.ADMINISTRATOR])


@pytest.mark.parametrize("role", SENSITIVE)
@pytest.mark.way("Tokens and recovery: step-up left to an accomplice who is given the role")
def test_a_role_that_can_do_what_asks_for_step_up_is_given_in_a_stepped_up_session_alone(client, acme, ada, role):
    requests = ways_to_give(acme, role, by=ada)
    before = standing(acme)
    for path, typed in requests.items():
        answer = client.post(path, typed)
        assert answer.status_code == 302, path
        assert answer.url.startswith("/profile/security/confirm/"), path
    assert standing(acme) == before
    SessionRecord.objects.update(stepped_up_at=timezone.now())
    for path, typed in requests.items():
        before = standing(acme)
        assert client.post(path, typed).status_code == 302
        assert standing(acme) != before, path


@pytest.mark.parametrize("role", OTHERS)
def test_any_other_role_is_given_without_asking_again(client, acme, ada, role):
    for path, typed in ways_to_give(acme, role, by=ada).items():
        if role == Role.MEMBER and path.startswith("/acme/members/") and path != "/acme/members/":
            continue  # they are one already
        before = standing(acme)
        assert not client.post(path, typed).url.startswith("/profile/")
        assert standing(acme) != before, path
