"""A link that whoever invites copies: it works once, proves no mailbox, and makes nobody a member by itself."""

import re
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import FailureBudget, User
from accounts.throttle.budgets import FREE, TooManyTries
from audit.models import Event
from environments import tasks
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.invitation_links import services as links
from environments.invitations import services as invitations
from environments.joining import tasks as joining_tasks
from environments.members.services import change_roles, remove_member
from environments.models import Invitation, InvitationLink, Membership, Organisation
from tests import factories
from tests.accounts.test_mails import sent_by
from tests.at_once import at_once
from tests.factories import PASSWORD
from tests.logging_in import expire_step_up, log_in, logged_in_client
from tests.mailbox import sent_mails
from web.models import Delivery

pytestmark = pytest.mark.django_db
PAGE = "/acme/members/links/"


@pytest.fixture
def ada(acme) -> User:
    return factories.member(acme, email="ada@acme.test", name="Ada")


@pytest.fixture
def made(acme, ada) -> tuple[InvitationLink, str]:
    """A link to become Developer, by Ada, and its token."""
    return links.create_link(acme, roles=[Role.DEVELOPER], by=Caller.of(ada), now=timezone.now())


def type_address(link: InvitationLink, email: str) -> list:
    """Do what the worker does once somebody who opened the link typed this address; return the mails that it sent."""
    return sent_by(lambda: tasks.mail_invitation_of_link(email, "en", link.pk))


def mailed_path(mails) -> str:
    return re.search(r"/invitation/[\w-]+/", mails[-1].body)[0]


# -- Making one ---------------------------------------------------------------------------------------


def test_the_link_is_shown_once_to_whoever_made_it_and_stored_as_a_hash_alone(client, acme, ada):
    log_in(client, ada)
    answer = client.post(PAGE, {"roles": ["member"], "note": "Nina of Globex", "until": "2040-03-05"})
    token = re.search(r'id="invitation-link">[^<]*/invite/([\w-]+)/<', answer.text)[1]
    assert 'data-copy="invitation-link"' in answer.text
    assert "no-store" in answer.headers["Cache-Control"]
    again = client.get(PAGE).text
    assert ("Nina of Globex" in again, token in again) == (True, False)
    stored = str(InvitationLink.objects.values().get()) + str(list(Event.objects.values()))
    assert token not in stored
    assert links.open_link(token, now=timezone.now()).note == "Nina of Globex"
    event = Event.objects.get(action="invitation_link.created")
    assert event.after == {"roles": ["member"], "membership_ends": "2040-03-05T23:00:00Z"}


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.ORGANISATION_MANAGER])
def test_a_link_for_a_sensitive_role_requires_step_up(client, acme, ada, role):
    log_in(client, ada)
    expire_step_up()
    assert client.post(PAGE, {"roles": [role]}).url.startswith("/profile/security/confirm/")
    assert client.post(PAGE, {"roles": ["member"]}).status_code == 200
    assert InvitationLink.objects.get().roles == ["member"]


def test_nobody_makes_a_link_for_a_role_with_more_permissions_than_their_own(client, acme, ada):
    emma = factories.member(acme, Role.ENVIRONMENT_MANAGER)
    for role in (Role.ADMINISTRATOR, Role.DEVELOPER):
        with pytest.raises(PermissionDenied):
            links.create_link(acme, roles=[role], by=Caller.of(emma), now=timezone.now())
    log_in(client, emma)
    assert client.post(PAGE, {"roles": ["administrator"]}).context["form"].errors
    assert not InvitationLink.objects.exists()


def test_links_count_as_invitations_of_their_maker_and_their_organisation(acme, ada):
    for kind, number in (("inviter", ada.pk), ("inviting", acme.pk)):
        FailureBudget.objects.update_or_create(
            key=f"{kind}:{number}", defaults={"failures": FREE[kind], "since": timezone.now()}
        )
        with pytest.raises(TooManyTries):
            links.create_link(acme, roles=["member"], by=Caller.of(ada), now=timezone.now())
        FailureBudget.objects.all().delete()
    assert not InvitationLink.objects.exists()


def test_a_link_of_another_tenant_is_not_found(client, acme, made, elsewhere):
    log_in(client, factories.member(elsewhere))
    for slug in ("acme", "elsewhere"):
        path = f"/{slug}/members/links/{made[0].pk}/"
        assert [client.get(path).status_code, client.post(path).status_code] == [404, 404]
    assert InvitationLink.objects.exists()


# -- Opening it ---------------------------------------------------------------------------------------


@pytest.mark.way("Doors: an invitation link that makes a member without a mailbox")
def test_whoever_opens_a_link_becomes_a_member_by_the_mail_alone(client, acme, made):
    link, token = made
    page = client.get(f"/invite/{token}/")
    assert ("Ada invites you as Developer." in page.text, page.headers["Referrer-Policy"]) == (True, "strict-origin")
    answer = client.post(f"/invite/{token}/", {"email": "Nina@globex.test"})
    assert (answer.status_code, answer.url) == (302, "/invite/sent/")
    assert not Membership.objects.filter(user__email="nina@globex.test").exists()

    mails = type_address(link, "Nina@globex.test")

    assert mails[-1].to == ["Nina@globex.test"]
    assert token not in mails[-1].body
    answer = client.post(mailed_path(mails), {"name": "Nina", "password": PASSWORD})
    assert answer.url.startswith("/login/")
    nina = Membership.objects.get(user__email="nina@globex.test")
    assert (nina.roles, nina.organisation, "_auth_user_id" in client.session) == (["developer"], acme, False)
    assert [client.get(f"/invite/{token}/").status_code, client.get(mailed_path(mails)).status_code] == [404, 404]
    assert type_address(link, "otto@globex.test") == []


def test_the_worker_mails_what_was_typed(client, made):
    client.post(f"/invite/{made[1]}/", {"email": "nina@globex.test"})
    assert Delivery.objects.filter(name="environments.tasks.mail_invitation_of_link").count() == 1
    sent_mails()
    assert Invitation.objects.get().email == "nina@globex.test"


def test_every_address_gets_the_same_answer_at_the_same_cost(client, acme, made):
    factories.UserFactory(email="known@globex.test")
    factories.UserFactory(email="closed@globex.test", is_active=False)
    factories.member(acme, email="vic@acme.test")
    answers, costs = set(), set()
    client.get(f"/invite/{made[1]}/")
    for email in ("new@globex.test", "known@globex.test", "closed@globex.test", "vic@acme.test"):
        with CaptureQueriesContext(connection) as queries:
            answer = client.post(f"/invite/{made[1]}/", {"email": email})
        answers.add((answer.status_code, answer.url, answer.content))
        costs.add(len(queries))
    assert (len(answers), len(costs)) == (1, 1)
    assert client.get("/invite/sent/").status_code == 200


@pytest.mark.parametrize("whose", ["a member", "a closed account", "somebody with another invitation"])
def test_nothing_is_mailed_to(acme, ada, made, whose):
    if whose == "a member":
        factories.member(acme, Role.MEMBER, email="nina@acme.test")
    if whose == "a closed account":
        factories.UserFactory(email="nina@acme.test", is_active=False)
    if whose == "somebody with another invitation":
        invitations.invite(acme, email="nina@acme.test", roles=["member"], by=Caller.of(ada), now=timezone.now())
    before = list(Invitation.objects.values())
    sent_mails()
    assert type_address(made[0], "nina@acme.test") == []
    assert list(Invitation.objects.values()) == before


def test_another_address_replaces_the_one_that_was_typed_before(client, made):
    link, _token = made
    first = mailed_path(type_address(link, "typo@globex.test"))
    second = mailed_path(type_address(link, "nina@globex.test"))
    assert [client.get(first).status_code, client.get(second).status_code] == [404, 200]
    assert Invitation.objects.get().email == "nina@globex.test"


def test_an_account_with_that_address_alone_accepts(made):
    type_address(made[0], "nina@globex.test")
    with pytest.raises(PermissionDenied):
        invitations.accept_invitation(
            Invitation.objects.get(), user=factories.UserFactory(email="mallory@evil.test"), now=timezone.now()
        )
    assert InvitationLink.objects.get().used_at is None


def test_the_end_that_a_link_gives_is_that_of_the_membership(acme, ada):
    end = timezone.now() + timedelta(days=3)
    link, _token = links.create_link(acme, roles=["member"], until=end, by=Caller.of(ada), now=timezone.now())
    assert link.expires_at == end
    type_address(link, "nina@globex.test")
    nina = factories.UserFactory(email="nina@globex.test")
    invitations.accept_invitation(Invitation.objects.get(), user=nina, now=timezone.now())
    assert Membership.objects.get(user=nina).expires_at == end


def test_one_link_mails_to_a_few_addresses_and_no_more(client, made):
    statuses = [
        client.post(f"/invite/{made[1]}/", {"email": f"person-{number}@globex.test"}).status_code
        for number in range(FREE["link"] + 2)
    ]
    assert statuses == [302] * FREE["link"] + [429] * 2


# -- Its end ------------------------------------------------------------------------------------------


def expire(link, acme, ada):
    InvitationLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def revoke(link, acme, ada):
    links.revoke_link(link, by=Caller.of(ada), now=timezone.now())


def demote(link, acme, ada):
    change_roles(ada.memberships.get(), roles=[Role.ENVIRONMENT_MANAGER], by=SYSTEM, now=timezone.now())


def remove(link, acme, ada):
    remove_member(ada.memberships.get(), by=SYSTEM, now=timezone.now())


def close_for_a_moment(link, acme, ada):
    for is_active in (False, True):
        User.objects.filter(pk=ada.pk).update(is_active=is_active)


def delete(link, acme, ada):
    ada.delete()


def suspend(link, acme, ada):
    Organisation.objects.filter(pk=acme.pk).update(is_suspended=True)


@pytest.mark.parametrize("end", [expire, revoke, demote, remove, close_for_a_moment, delete, suspend])
def test_a_link_does_not_outlive_what_it_rests_on_and_neither_does_its_mail(client, acme, ada, made, end):
    link, token = made
    path = mailed_path(type_address(link, "nina@globex.test"))
    end(link, acme, ada)
    assert client.get(f"/invite/{token}/").status_code == 404
    assert client.post(f"/invite/{token}/", {"email": "otto@globex.test"}).status_code == 404
    assert type_address(link, "otto@globex.test") == []
    nina = factories.UserFactory(email="nina@globex.test")
    log_in(client, nina)
    assert client.post(path).status_code in {403, 404}
    assert not nina.memberships.exists()


def test_the_mail_that_waits_is_withdrawn_with_the_link(acme, ada, made):
    links.mail_invitation(made[0].pk, "nina@globex.test", language="en", now=timezone.now())
    revoke(made[0], acme, ada)
    assert Delivery.objects.get(name="link_invitation").state == "withdrawn"
    assert not Invitation.objects.exists()
    assert Event.objects.filter(action="invitation_link.revoked").count() == 1


def test_revoking_is_asked_once_and_a_role_above_ones_own_is_refused(client, acme, made):
    link, _token = made
    log_in(client, factories.member(acme, Role.ENVIRONMENT_MANAGER))
    path = f"{PAGE}{link.pk}/"
    assert [client.get(path).status_code, client.post(path).status_code] == [403, 403]
    log_in(client, factories.member(acme))
    assert "Developer" in client.get(path).text
    assert InvitationLink.objects.exists()
    assert "The invitation link was revoked." in client.post(path, follow=True).text
    assert not InvitationLink.objects.exists()


def test_withdrawing_the_invitation_of_a_link_revokes_the_link_and_says_so(client, acme, made):
    link, token = made
    type_address(link, "nina@globex.test")
    invitation = link.invitations.get()
    log_in(client, factories.member(acme))
    page = f"/acme/invitations/{invitation.pk}/"

    assert "is revoked: whoever has it could have the invitation mailed again" in client.get(page).text
    client.post(page, {"do": "withdraw"})

    assert Client().get(f"/invite/{token}/").status_code == 404
    assert type_address(link, "nina@globex.test") == []
    assert not Invitation.objects.exists()
    events = Event.objects.filter(action__startswith="invitation").order_by("pk").values_list("action", flat=True)
    assert list(events)[-2:] == ["invitation_link.revoked", "invitation.withdrawn"]


@pytest.mark.parametrize("is_sent_again", [True, False])
def test_an_invitation_that_replaces_that_of_a_link_leaves_no_second_way_in(client, acme, ada, made, is_sent_again):
    link, token = made
    type_address(link, "nina@globex.test")
    log_in(client, factories.member(acme))
    if is_sent_again:
        client.post(f"/acme/invitations/{link.invitations.get().pk}/", {"do": "again"})
    else:
        invitations.invite(acme, email="nina@globex.test", roles=["member"], by=Caller.of(ada), now=timezone.now())

    assert Client().get(f"/invite/{token}/").status_code == 404
    assert type_address(link, "otto@globex.test") == []
    assert [each.by_link for each in Invitation.objects.filter(email="nina@globex.test")] == [None]
    assert Event.objects.filter(action="invitation_link.revoked").count() == 1


def test_withdrawing_an_invitation_without_a_link_says_nothing_of_one_and_leaves_others_open(client, acme, ada, made):
    by, now = Caller.of(ada), timezone.now()
    invitation = invitations.invite(acme, email="otto@globex.test", roles=["member"], by=by, now=now)
    log_in(client, ada)
    page = f"/acme/invitations/{invitation.pk}/"
    assert "is revoked" not in client.get(page).text
    client.post(page, {"do": "withdraw"})
    assert InvitationLink.objects.count() == 1


def test_a_used_link_is_not_listed_and_cannot_be_revoked(client, acme, ada, made):
    type_address(made[0], "nina@globex.test")
    nina = factories.UserFactory(email="nina@globex.test")
    invitations.accept_invitation(Invitation.objects.get(), user=nina, now=timezone.now())
    log_in(client, ada)
    assert list(client.get(PAGE).context["page"]) == []
    assert client.post(f"{PAGE}{made[0].pk}/").status_code == 404
    assert Invitation.objects.filter(used_at__isnull=False).count() == 1


def test_addresses_that_were_typed_are_forgotten_once_their_mail_has_expired(made):
    type_address(made[0], "nina@globex.test")
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    joining_tasks.forget_join_links()
    assert not Invitation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_accept_by_one_link_at_once_one_becomes_a_member():
    top = factories.organisation(name="Top", slug="top")
    by, now = Caller.of(factories.member(top)), timezone.now()
    link, _token = links.create_link(top, roles=["member"], by=by, now=now)
    people = [factories.UserFactory(email=f"{name}@globex.test") for name in ("nina", "otto")]
    both = [
        Invitation.objects.create(
            organisation=top,
            email=person.email,
            roles=["member"],
            token_hash=person.email,
            invited_by=by.user,
            by_link=link,
            expires_at=link.expires_at,
        )
        for person in people
    ]

    def accept(invitation: Invitation, person: User) -> Membership:
        return invitations.accept_invitation(invitation, user=person, now=now)

    calls = [lambda one=one: accept(*one) for one in zip(both, people, strict=True)]
    answers = at_once(*calls, refused=ValidationError)
    assert [isinstance(answer, Membership) for answer in answers].count(True) == 1
    assert Membership.objects.filter(user__in=people).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_link_that_is_revoked_while_its_invitation_is_accepted_is_one_or_the_other():
    top = factories.organisation(name="Top", slug="top")
    ada, now = factories.member(top), timezone.now()
    link, _token = links.create_link(top, roles=["member"], by=Caller.of(ada), now=now)
    nina = factories.UserFactory(email="nina@globex.test")
    path = mailed_path(type_address(link, nina.email))
    by_ada, by_nina = logged_in_client(ada), logged_in_client(nina)
    answers = at_once(
        lambda: by_ada.post(f"/top/members/links/{link.pk}/").status_code, lambda: by_nina.post(path).status_code
    )
    assert set(answers) <= {302, 403, 404}
    assert nina.memberships.exists() == InvitationLink.objects.filter(used_at__isnull=False).exists()


@pytest.mark.django_db(transaction=True)
def test_two_addresses_typed_at_once_leave_one_invitation():
    top = factories.organisation(name="Top", slug="top")
    by, now = Caller.of(factories.member(top)), timezone.now()
    link, _token = links.create_link(top, roles=["member"], by=by, now=now)

    def type_one(email: str) -> bool:
        return links.mail_invitation(link.pk, email, language="en", now=now)

    assert at_once(lambda: type_one("nina@globex.test"), lambda: type_one("otto@globex.test")) == [True, True]
    assert Invitation.objects.filter(by_link=link, used_at=None).count() == 1


def test_an_open_page_needs_no_log_in_and_names_no_account():
    assert Client().get("/invite/unknown/").status_code == 404
