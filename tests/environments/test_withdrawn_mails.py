"""A mail that waits in the outbox is withdrawn with what it speaks of: no link or code leaves that works no more."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.choices import MailPurpose
from accounts.factors import services as factors
from accounts.models import User
from accounts.passwords import services as passwords
from accounts.profile import email_change
from accounts.sessions import services as sessions
from environments.access_requests import services as access_requests
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.domains import services as domains
from environments.invitations import services as invitations
from environments.joining import services as joining
from environments.members.services import change_roles, remove_member
from environments.models import Organisation
from environments.policies import mfa_schedule
from environments.policies.mfa import MfaRule
from environments.tree.services import delete_organisation
from tests import factories
from tests.logging_in import log_in
from web.models import Delivery

pytestmark = pytest.mark.django_db


def states(name: str) -> list[str]:
    return list(Delivery.objects.filter(name=name).order_by("pk").values_list("state", flat=True))


@pytest.mark.parametrize("how", ["accepted", "demoted", "removed", "closed", "gone", "deleted"])
def test_the_mail_of_an_invitation_does_not_outlive_it(acme, ada, bea, how):
    now = timezone.now()
    found = invitations.invite(acme, email="ivy@acme.test", roles=[Role.DEVELOPER], by=Caller.of(ada), now=now)
    assert states("invitation") == ["waiting"]
    if how == "accepted":
        invitations.accept_invitation(found, user=factories.UserFactory(email="ivy@acme.test"), now=now)
    if how == "demoted":
        change_roles(ada.memberships.get(), roles=[Role.MEMBER], by=Caller.of(bea), now=now)
    if how == "removed":
        remove_member(ada.memberships.get(), by=Caller.of(bea), now=now)
    if how == "closed":
        User.objects.filter(pk=ada.pk).update(is_active=False)
    if how == "gone":
        ada.delete()
    if how == "deleted":
        delete_organisation(acme, by=SYSTEM, now=now)
    assert states("invitation") == ["withdrawn"]


def test_the_mail_of_a_replaced_invitation_is_withdrawn_and_the_new_one_waits(acme, ada):
    for _number in range(2):
        invitations.invite(acme, email="ivy@acme.test", roles=[Role.DEVELOPER], by=Caller.of(ada), now=timezone.now())
    assert states("invitation") == ["withdrawn", "waiting"]


@pytest.mark.parametrize("how", ["removed", "lapsed", "expired"])
def test_the_mail_with_a_link_to_join_does_not_outlive_the_domain(zone, acme, ada, proven, how):
    Organisation.objects.update(auto_invite_roles=[Role.MEMBER])
    now = timezone.now()
    joining.mail_join_link("nora@acme.test", language="en", now=now)
    assert states("join_link") == ["waiting"]
    if how == "removed":
        domains.remove_domain(proven, by=Caller.of(ada), now=now)
    if how == "lapsed":
        zone.texts.clear()
        for later in (timedelta(), timedelta(days=8)):
            domains.check_record(proven, by=SYSTEM, now=now + later)
    if how == "expired":
        joining.delete_expired_links(now=now + timedelta(days=2))
    assert states("join_link") == ["withdrawn"]


def close(user):
    User.objects.filter(pk=user.pk).update(is_active=False)


def set_another_password(user):
    passwords.change(user, "Another-Horse-9", now=timezone.now())


def use_the_link(user):
    passwords.set_by_link(user, "Another-Horse-9", now=timezone.now())


def take_another_address(user):
    User.objects.filter(pk=user.pk).update(email="else@acme.test")


def log_in_elsewhere(user):
    log_in(Client(), user)


def end_every_session(user):
    sessions.end_all(user, now=timezone.now(), why="test")


def lose_every_factor(user):
    factors.reset(user, by=None, now=timezone.now())


def ask_for_an_address_that_is_taken(user):
    factories.UserFactory(email="taken@acme.test")
    ask_for_another_address(user, "taken@acme.test")


def ask_for_another_address(user, email="new@acme.test"):
    email_change.send_link(user, email, auth_hash=user.get_session_auth_hash(), now=timezone.now())


@pytest.mark.parametrize("ending", [close, set_another_password, use_the_link, take_another_address, log_in_elsewhere])
def test_the_mail_with_a_link_for_a_new_password_does_not_outlive_the_link(ada, ending):
    passwords.send_reset(ada.email, language="en")
    assert states("password_reset") == ["waiting"]
    ending(User.objects.get(pk=ada.pk))
    assert states("password_reset") == ["withdrawn"]


@pytest.mark.parametrize("ending", [close, set_another_password, end_every_session, ask_for_an_address_that_is_taken])
def test_the_mail_with_a_link_for_another_address_does_not_outlive_the_link(ada, ending):
    ask_for_another_address(ada)
    assert states("email_change") == ["waiting"]
    ending(User.objects.get(pk=ada.pk))
    assert states("email_change") == ["withdrawn"]


@pytest.mark.parametrize("ending", [close, take_another_address, lose_every_factor])
def test_the_mail_with_a_code_does_not_outlive_the_code(ada, ending):
    factors.send_mailbox_code(ada, purpose=MailPurpose.STEP_UP, now=timezone.now())
    assert states("mailbox_code") == ["waiting"]
    ending(User.objects.get(pk=ada.pk))
    assert states("mailbox_code") == ["withdrawn"]


def test_what_ends_nothing_withdraws_nothing(ada, bea):
    for user in (ada, bea):
        passwords.send_reset(user.email, language="en")
        ask_for_another_address(user, f"new-{user.email}")
        factors.send_mailbox_code(user, purpose=MailPurpose.STEP_UP, now=timezone.now())
    ada.name = "Ada L."
    ada.save()
    set_another_password(User.objects.get(pk=ada.pk))
    waiting = Delivery.objects.waiting().exclude(name__contains="changed").values_list("name", "recipient")
    assert sorted(waiting) == [
        ("email_change", "new-bea@acme.test"),
        ("mailbox_code", "ada@acme.test"),
        ("mailbox_code", "bea@acme.test"),
        ("password_reset", "bea@acme.test"),
    ]


@pytest.mark.parametrize("how", ["accepted", "rejected", "closed", "gone", "deleted"])
def test_the_mails_that_ask_for_an_answer_do_not_outlive_the_request(acme, ada, bea, how):
    now, mallory = timezone.now(), factories.UserFactory(email="mallory@elsewhere.test")
    asked = access_requests.ask_for_access(mallory, "acme", message="", now=now)
    other = factories.UserFactory(email="other@elsewhere.test")
    access_requests.ask_for_access(other, "acme", message="", now=now)
    assert states("access_requested") == ["waiting"] * 4  # to Ada and Bea
    if how == "accepted":
        access_requests.accept_request(asked, roles=[Role.MEMBER], by=Caller.of(ada), now=now)
    if how == "rejected":
        access_requests.reject_request(asked, by=Caller.of(ada), now=now)
    if how == "closed":
        close(mallory)
    if how == "gone":
        mallory.delete()
    if how == "deleted":
        delete_organisation(acme, by=SYSTEM, now=now)
    of_the_other = "withdrawn" if how == "deleted" else "waiting"
    assert states("access_requested") == ["withdrawn"] * 2 + [of_the_other] * 2


def test_reminders_of_a_requirement_are_withdrawn_with_it(acme, ada, bea):
    now = timezone.now()
    mfa_schedule.schedule_mfa(acme, to=MfaRule.on(), acts_at=now + timedelta(days=3), by=Caller.of(ada), now=now)
    mfa_schedule.remind_members(now=now)
    assert states("mfa_reminder") == ["waiting", "waiting"]
    mfa_schedule.cancel_scheduled_mfa(acme, by=Caller.of(ada), now=now)
    assert states("mfa_reminder") == ["withdrawn", "withdrawn"]
