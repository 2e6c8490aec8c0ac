"""Two people at the same member, invitation or factor at the same moment: one of them wins, and nobody sees a 500."""

import re
from collections.abc import Callable

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import TotpDevice, User
from accounts.sessions.services import end_all
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.invitations.services import invite
from environments.keys.services import create_organisation_key, create_personal_key
from environments.members.services import change_roles
from environments.memberships import grant_membership
from environments.models import AccessRequest, ApiKey, Invitation, Membership, Organisation, OrganisationDomain
from environments.policies.resolve import lock_policies
from tests import factories
from tests.accounts.conftest import require_mfa
from tests.accounts.test_races import begin, until_all_wait
from tests.at_once import at_once
from tests.environments.test_keys import calling
from tests.logging_in import give_app, logged_in_client
from tests.mailbox import sent_mails

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def top():
    return factories.organisation(name="Noorderlicht", slug="noorderlicht")


@pytest.fixture
def ada(top):
    return factories.member(top, email="ada@example.test")


@pytest.fixture
def bea(top):
    return factories.member(top, email="bea@example.test")


def statuses(*requests: Callable[[], HttpResponse]) -> list[int]:
    """Return the statuses of requests of the same moment, in order of size."""
    return sorted(response.status_code for response in at_once(*requests))


def mailed_link() -> str:
    return re.search(r"/invitation/[\w-]+/", sent_mails()[-1].body)[0]


def page_of(user: User) -> str:
    return f"/noorderlicht/members/{user.memberships.get().pk}/"


def test_two_administrators_who_remove_each_other_leave_one(top, ada, bea):
    by_ada, by_bea, pages = logged_in_client(ada), logged_in_client(bea), (page_of(ada), page_of(bea))
    answers = statuses(lambda: by_ada.post(f"{pages[1]}remove/"), lambda: by_bea.post(f"{pages[0]}remove/"))
    assert set(answers) <= {302, 404}
    assert Membership.objects.filter(organisation=top).count() == 1


def test_a_member_removed_twice_at_once_is_removed_once(top, ada, bea):
    page = page_of(factories.member(top, Role.MEMBER))
    clients = [logged_in_client(ada), logged_in_client(bea)]
    answers = statuses(*[lambda by=by: by.post(f"{page}remove/") for by in clients])
    assert set(answers) <= {302, 404}
    assert Membership.objects.filter(organisation=top).count() == 2


def test_roles_given_to_a_member_who_is_removed_at_once_bring_nobody_back(top, ada, bea):
    vic = factories.member(top, Role.MEMBER)
    page, by_ada, by_bea = page_of(vic), logged_in_client(ada), logged_in_client(bea)
    answers = statuses(lambda: by_ada.post(f"{page}remove/"), lambda: by_bea.post(page, {"roles": [Role.DEVELOPER]}))
    assert set(answers) <= {200, 302, 404}
    assert not vic.memberships.exists()


def test_an_invitation_accepted_six_times_at_once_makes_one_account(top, ada):
    invite(top, email="new@example.test", roles=[Role.MEMBER], by=Caller.of(ada), now=timezone.now())
    link, typed = mailed_link(), {"name": "Nina", "password": factories.PASSWORD}
    answers = statuses(*[lambda client=client: client.post(link, typed) for client in [Client() for _i in range(6)]])
    assert answers.count(302) == 1
    assert set(answers) <= {200, 302, 404}
    assert User.objects.get(email="new@example.test").memberships.count() == 1


def test_an_invitation_withdrawn_while_it_is_accepted_is_one_or_the_other(top, ada):
    nina = factories.UserFactory(email="nina@example.test")
    invitation = invite(top, email=nina.email, roles=[Role.ADMINISTRATOR], by=Caller.of(ada), now=timezone.now())
    link, by_ada, by_nina = mailed_link(), logged_in_client(ada), logged_in_client(nina)
    withdraw = f"/noorderlicht/invitations/{invitation.pk}/"
    answers = statuses(lambda: by_ada.post(withdraw, {"do": "withdraw"}), lambda: by_nina.post(link))
    assert set(answers) <= {302, 403, 404}
    assert nina.memberships.exists() == Invitation.objects.filter(pk=invitation.pk, used_at__isnull=False).exists()


def test_a_key_minted_while_its_owner_is_removed_does_not_act_once_they_are_back(top, ada):
    dev = factories.member(top, Role.DEVELOPER)
    by_ada, page = logged_in_client(ada), f"{page_of(dev)}remove/"
    with transaction.atomic():
        raw = create_personal_key(dev, name="script", by=Caller.of(dev), now=timezone.now())[1]
        threads = begin([lambda: by_ada.post(page)])
        until_all_wait(threads)
    for thread in threads:
        thread.join()
    assert not dev.memberships.exists()
    grant_membership(dev, top, roles=[Role.DEVELOPER], by=SYSTEM)
    assert calling(raw).get("/api/v1/organisations/noorderlicht/").status_code == 401


def test_a_stolen_session_that_is_ended_meanwhile_removes_nobody(top, ada, bea):
    thief, page = logged_in_client(ada), f"{page_of(bea)}remove/"
    with transaction.atomic():
        lock_policies()
        threads = begin([lambda: thief.post(page)])
        until_all_wait(threads)
        end_all(ada, now=timezone.now(), why="test")
    for thread in threads:
        thread.join()
    assert bea.memberships.exists()


@pytest.mark.way("Tokens and recovery: the last factor removed while it is required")
def test_two_factors_removed_at_once_leave_one_where_one_is_required(top, ada):
    require_mfa(factories.environment(parent=top))
    clients = [logged_in_client(ada), logged_in_client(ada)]
    give_app(ada, name="Tablet")
    devices = [device.persistent_id for device in TotpDevice.objects.filter(user=ada)]
    remove = "/profile/security/factors/remove/"
    at_once(
        *[
            lambda client=client, device=device: client.post(remove, {"device": device})
            for client, device in zip(clients, devices, strict=True)
        ]
    )
    assert TotpDevice.objects.filter(user=ada).count() == 1


# -- What somebody gives on their word while they lose the right to --------------------------------------------------


def invites(top, by: Client) -> object:
    return by.post("/noorderlicht/members/", {"email": "mallory@evil.test", "roles": [Role.ADMINISTRATOR]})


def accepts_a_request(top, by: Client) -> object:
    asked = AccessRequest.objects.get()
    path = reverse("environments:answer-access-request", args=["noorderlicht", asked.uuid])
    return by.post(path, {"do": "accept", "roles": [Role.ADMINISTRATOR]})


def lets_people_join(top, by: Client) -> object:
    return by.post("/noorderlicht/settings/", {"do": "auto-invite", "roles": [Role.ADMINISTRATOR]})


def adds_a_domain(top, by: Client) -> object:
    return by.post("/noorderlicht/settings/domains/", {"do": "add", "domain": "evil.test"})


def takes_a_key_over(top, by: Client) -> object:
    return by.post(f"/noorderlicht/api-keys/{ApiKey.objects.get().uuid}/take-over/")


GIVING = {
    invites: lambda: Invitation.objects.exists(),
    accepts_a_request: lambda: Membership.objects.filter(user__email="mallory@evil.test").exists(),
    lets_people_join: lambda: Organisation.objects.filter(auto_invite_roles=["administrator"]).exists(),
    adds_a_domain: lambda: OrganisationDomain.objects.exists(),
    takes_a_key_over: lambda: ApiKey.objects.filter(rests_since=None).exists(),
}


@pytest.mark.parametrize("giving", GIVING, ids=lambda one: one.__name__)
def test_nobody_gives_on_their_word_while_they_are_demoted_what_they_could_not_give_after(top, ada, bea, giving):
    mallory = factories.UserFactory(email="mallory@evil.test")
    if giving is accepts_a_request:
        AccessRequest.objects.create(organisation=top, user=mallory)
    if giving is adds_a_domain:
        Organisation.objects.filter(pk=top.pk).update(auto_invite_roles=[Role.ADMINISTRATOR], auto_invite_by=bea)
    if giving is takes_a_key_over:
        create_organisation_key(top, name="Import", roles=[Role.ADMINISTRATOR], by=Caller.of(bea), now=timezone.now())
        ApiKey.objects.update(rests_since=timezone.now(), rests_because="lost")
    by_ada, answers = logged_in_client(ada), []
    with transaction.atomic():
        change_roles(ada.memberships.get(), roles=[Role.ENVIRONMENT_MANAGER], by=Caller.of(bea), now=timezone.now())
        threads = begin([lambda: answers.append(giving(top, by_ada).status_code)])
        until_all_wait(threads)
    for thread in threads:
        thread.join()
    assert not GIVING[giving]()
    assert answers[0] in {302, 403}
