"""Roles, the last Administrator, invitations and access requests."""

import re
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone
from django.utils.html import escape

from accounts.models import User
from accounts.passwords import services as passwords
from audit.models import Event
from environments import granting
from environments.access_requests import services as access_requests
from environments.caller import Caller
from environments.choices import Role
from environments.invitations import services as invitations
from environments.members import services as members
from environments.memberships import grant_membership
from environments.models import AccessRequest, Invitation, Membership
from tests import factories
from tests.factories import NOW
from tests.mailbox import sent_mails
from tests.queries import count_queries

pytestmark = pytest.mark.django_db


def membership_of(user):
    return Membership.objects.get(user=user)


@pytest.mark.parametrize(
    ("role", "grantable"),
    [
        (Role.ADMINISTRATOR, set(Role)),
        (Role.ORGANISATION_MANAGER, {Role.ORGANISATION_MANAGER, Role.ENVIRONMENT_MANAGER, Role.MEMBER}),
        (Role.ENVIRONMENT_MANAGER, {Role.ENVIRONMENT_MANAGER, Role.MEMBER}),
        (Role.DEVELOPER, set()),
        (Role.MEMBER, set()),
    ],
)
def test_nobody_grants_a_role_with_more_permissions_than_their_own(acme, role, grantable):
    by = factories.member(acme, role)
    vic = factories.member(acme, Role.MEMBER)
    assert set(granting.grantable_roles(Caller.of(by), acme)) == grantable
    for wanted in set(Role) - grantable:
        with pytest.raises(PermissionDenied):
            members.change_roles(membership_of(vic), roles=[wanted], by=Caller.of(by), now=NOW)
        with pytest.raises(PermissionDenied):
            invitations.invite(acme, email="new@example.test", roles=[wanted], by=Caller.of(by), now=NOW)
    assert membership_of(vic).roles == [Role.MEMBER]
    assert Invitation.objects.count() == 0


def test_nobody_changes_or_removes_a_member_with_more_permissions(acme):
    by, ada = factories.member(acme, Role.ENVIRONMENT_MANAGER), factories.member(acme, Role.ADMINISTRATOR)
    with pytest.raises(PermissionDenied):
        members.change_roles(membership_of(ada), roles=[Role.MEMBER], by=Caller.of(by), now=NOW)
    with pytest.raises(PermissionDenied):
        members.remove_member(membership_of(ada), by=Caller.of(by), now=NOW)


def test_the_last_administrator_of_a_root_stays(agency):
    ada = factories.member(agency, Role.ADMINISTRATOR)
    gone = factories.member(agency, Role.ADMINISTRATOR)
    gone.is_active = False
    gone.save(update_fields=["is_active"])
    temporary = factories.member(agency, Role.ADMINISTRATOR)
    temporary.memberships.update(expires_at=timezone.now() + timedelta(days=1))
    for act in [
        lambda: members.remove_member(membership_of(ada), by=Caller.of(ada), now=NOW),
        lambda: members.change_roles(membership_of(ada), roles=[Role.MEMBER], by=Caller.of(ada), now=NOW),
    ]:
        with pytest.raises(ValidationError, match="last Administrator"):
            act()
    factories.member(agency, Role.ADMINISTRATOR)
    members.remove_member(membership_of(ada), by=Caller.of(ada), now=NOW)
    assert not ada.memberships.exists()


def test_below_a_root_the_last_administrator_can_be_removed(acme):
    ada = factories.member(acme, Role.ADMINISTRATOR)
    members.remove_member(membership_of(ada), by=Caller.of(ada), now=NOW)
    assert Event.objects.get(action="membership.left").subject_label == ada.email


def test_changing_roles_is_audited_with_before_and_after(acme):
    ada, vic = factories.member(acme), factories.member(acme, Role.MEMBER)
    assert members.change_roles(membership_of(vic), roles=["developer", "member"], by=Caller.of(ada), now=NOW) is True
    assert members.change_roles(membership_of(vic), roles=["member", "developer"], by=Caller.of(ada), now=NOW) is False
    event = Event.objects.get(action="membership.changed")
    assert (event.before, event.after) == ({"roles": ["member"]}, {"roles": ["developer", "member"]})


def invited(acme, email="new@example.test", *, roles=(Role.MEMBER,), commit):
    ada = User.objects.filter(email="ada@example.test").first() or factories.member(acme, email="ada@example.test")
    with commit(execute=True):
        invitation = invitations.invite(acme, email=email, roles=list(roles), by=Caller.of(ada), now=timezone.now())
    path = re.search(r"/invitation/[\w-]+/", sent_mails()[-1].body)[0]
    return invitation, path


def test_an_invitation_reaches_the_mailbox_alone(client, acme, django_capture_on_commit_callbacks):
    invitation, path = invited(acme, commit=django_capture_on_commit_callbacks)
    token = path.split("/")[2]
    assert sent_mails()[-1].to == ["new@example.test"]
    assert token not in str(Invitation.objects.values().get()) + str(list(Event.objects.values()))
    client.force_login(User.objects.get(email="ada@example.test"))
    page = client.get("/acme/members/").content.decode()
    assert invitation.email in page
    assert token not in page


@pytest.mark.way("Doors: an invitation that logs in")
def test_opening_an_invitation_consumes_nothing_and_accepting_it_works_once(
    client, acme, django_capture_on_commit_callbacks
):
    _invitation, path = invited(acme, commit=django_capture_on_commit_callbacks)
    for _time in range(3):
        assert client.get(path).status_code == 200
    answer = client.post(path, {"name": "New Person", "password": factories.PASSWORD})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/")
    user = User.objects.get(email="new@example.test")
    assert (user.name, membership_of(user).roles, "_auth_user_id" in client.session) == (
        "New Person",
        ["member"],
        False,
    )
    assert client.get(path).status_code == 404
    assert client.post(path, {"name": "x", "password": factories.PASSWORD}).status_code == 404


@pytest.mark.parametrize("role", Role)
def test_an_invitation_says_what_each_of_its_roles_allows(client, acme, django_capture_on_commit_callbacks, role):
    given = {Role.MEMBER, role}
    _invitation, path = invited(acme, roles=given, commit=django_capture_on_commit_callbacks)
    said = re.findall(r"<b>(.+?)</b>: (.+?)</p>", client.get(path).text)
    assert said == [(str(each.label), escape(each.allows)) for each in Role if each in given]


def filled_in(page: str) -> tuple[str | None, str]:
    """Return the address that a log-in page has filled in, and the field where typing begins."""
    inputs = re.findall(r"<input[^>]*>", page)
    email = next(one for one in inputs if 'name="email"' in one)
    value = re.search(r'value="([^"]*)"', email)
    focused = next(one for one in inputs if "autofocus" in one)
    return value and value[1], re.search(r'name="(\w+)"', focused)[1]


def test_the_log_in_page_fills_in_the_address_of_an_accepted_invitation(
    client, acme, django_capture_on_commit_callbacks
):
    assert filled_in(client.get("/login/").text) == (None, "email")
    _invitation, path = invited(acme, commit=django_capture_on_commit_callbacks)
    page = client.post(path, {"name": "New Person", "password": factories.PASSWORD}, follow=True).text
    assert filled_in(page) == ("new@example.test", "password")
    wrong = client.post("/login/", {"email": "new@example.test", "password": "wrong"}).text
    assert filled_in(wrong) == ("new@example.test", "password")
    client.post("/login/", {"email": "new@example.test", "password": factories.PASSWORD})
    client.post("/logout/")
    assert filled_in(client.get("/login/").text) == (None, "email")


def test_the_log_in_page_fills_in_the_address_of_an_invited_person_who_has_an_account(
    client, acme, django_capture_on_commit_callbacks
):
    factories.UserFactory(email="vic@example.test")
    _invitation, path = invited(acme, email="vic@example.test", commit=django_capture_on_commit_callbacks)
    client.get(path)
    assert filled_in(client.get("/login/").text) == ("vic@example.test", "password")


def test_the_log_in_page_fills_in_the_address_of_a_password_that_was_set_by_a_link(client):
    vic = factories.UserFactory(email="vic@example.test")
    passwords.send_reset(vic.email, language="en")
    path = re.search(r"/password/set/\S+", sent_mails()[-1].body)[0]
    page = client.post(path, {"password": "Another-Horse-9", "again": "Another-Horse-9"}, follow=True).text
    assert filled_in(page) == ("vic@example.test", "password")


def test_a_weak_password_is_refused_and_leaves_nothing(client, acme, django_capture_on_commit_callbacks):
    _invitation, path = invited(acme, commit=django_capture_on_commit_callbacks)
    answer = client.post(path, {"name": "New", "password": "short"})
    assert answer.status_code == 200
    assert not User.objects.filter(email="new@example.test").exists()
    assert Invitation.objects.get().used_at is None


def test_an_invitation_is_for_its_address_alone(client, acme, django_capture_on_commit_callbacks):
    vic = factories.UserFactory(email="vic@example.test")
    _invitation, path = invited(acme, email="VIC@example.test", commit=django_capture_on_commit_callbacks)
    mallory = factories.UserFactory()
    client.force_login(mallory)
    client.post(path)
    assert not mallory.memberships.exists()
    assert '<form method="post" action="/logout/">' in client.get(path).text, "the page has no menu to log out by"
    client.force_login(vic)
    assert client.post(path).status_code == 302
    assert membership_of(vic).organisation == acme


def test_an_account_that_exists_is_not_taken_over_by_an_invitation(client, acme, django_capture_on_commit_callbacks):
    vic = factories.UserFactory(email="vic@example.test")
    _invitation, path = invited(acme, email=vic.email, commit=django_capture_on_commit_callbacks)
    client.post(path, {"name": "x", "password": "Another-Horse-9"})
    vic.refresh_from_db()
    assert vic.check_password(factories.PASSWORD)
    assert not vic.memberships.exists()


def test_an_invitation_ends_by_time_by_a_newer_one_and_with_its_inviters_right(
    client, acme, django_capture_on_commit_callbacks
):
    _first, old = invited(acme, commit=django_capture_on_commit_callbacks)
    invitation, path = invited(acme, commit=django_capture_on_commit_callbacks)
    assert (client.get(old).status_code, client.get(path).status_code) == (404, 200)
    membership_of(invitation.invited_by).delete()
    client.post(path, {"name": "x", "password": factories.PASSWORD})
    assert not User.objects.filter(email="new@example.test").exists()
    Invitation.objects.update(expires_at=timezone.now())
    assert client.get(path).status_code == 404


def test_somebody_without_access_asks_once_and_is_let_in(acme):
    mallory, ada = factories.UserFactory(), factories.member(acme)
    first = access_requests.ask_for_access(mallory, "acme", message="please", now=NOW)
    assert access_requests.ask_for_access(mallory, "acme", message="again", now=NOW) == first
    assert access_requests.ask_for_access(mallory, "nowhere", message="", now=NOW) is None
    assert access_requests.ask_for_access(ada, "acme", message="", now=NOW) is None
    access_requests.accept_request(first, roles=[Role.MEMBER], by=Caller.of(ada), now=NOW)
    assert membership_of(mallory).roles == [Role.MEMBER]
    with pytest.raises(ValidationError, match="already"):
        access_requests.reject_request(first, by=Caller.of(ada), now=NOW)


def test_accepting_with_a_higher_role_is_refused_and_the_request_still_waits(acme):
    asked = access_requests.ask_for_access(factories.UserFactory(), "acme", message="", now=NOW)
    manager = factories.member(acme, Role.ENVIRONMENT_MANAGER)
    with pytest.raises(PermissionDenied):
        access_requests.accept_request(asked, roles=[Role.ADMINISTRATOR], by=Caller.of(manager), now=NOW)
    asked.refresh_from_db()
    assert asked.state == AccessRequest.State.WAITING


@pytest.mark.parametrize("page", ["/acme/members/", "/acme/access-requests/", "/acme/audit/", "/organisations/"])
def test_lists_cost_the_same_for_1_and_50_rows(client, acme, agency, page):
    client.force_login(factories.member(agency))
    add_rows(1, page, acme, agency)
    cost = count_queries(lambda: client.get(page))
    add_rows(49, page, acme, agency)
    assert client.get(page).status_code == 200
    assert count_queries(lambda: client.get(page)) == cost <= 10


def add_rows(count: int, page: str, acme, agency) -> None:
    """Make what the page lists that many times more."""
    for number in range(count):
        user = factories.UserFactory()
        if page == "/acme/members/":
            Membership.objects.create(user=user, organisation=acme, roles=["member"], accepted_at=NOW)
        elif page == "/organisations/":
            factories.environment(parent=agency)
        else:
            access_requests.ask_for_access(user, "acme", message=f"{number}", now=NOW)


def test_an_invitation_mailed_again_to_somebody_who_is_a_member_by_now_says_so(client, acme):
    ada = factories.member(acme)
    invitation = invitations.invite(
        acme, email="vic@example.test", roles=["member"], by=Caller.of(ada), now=timezone.now()
    )
    factories.member(acme, Role.MEMBER, email="vic@example.test")
    client.force_login(ada)
    page = client.post(f"/acme/invitations/{invitation.pk}/", {"do": "again"}, follow=True)
    assert "vic@example.test is already a member here." in page.content.decode()


def test_whoever_was_an_administrator_until_a_date_comes_back_with_the_new_roles_alone(acme):
    ada, vic = factories.member(acme), factories.member(acme, Role.ADMINISTRATOR)
    vic.memberships.update(expires_at=timezone.now() - timedelta(days=1))
    grant_membership(vic, acme, roles=[Role.MEMBER], by=Caller.of(ada))
    membership = Membership.objects.live().get(user=vic)
    assert (membership.roles, membership.expires_at) == ([Role.MEMBER], None)
