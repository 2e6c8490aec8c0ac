"""Mailed links and codes live by the database's clock, whatever that of the web or the worker says."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.models import EmailChange, MailboxCode
from accounts.passwords import tasks as password_tasks
from accounts.profile import tasks as profile_tasks
from environments.choices import DomainProof, Role
from environments.joining import tasks as joining_tasks
from environments.models import Invitation, Organisation, OrganisationDomain
from tests.factories import PASSWORD, UserFactory, environment
from tests.logging_in import log_in
from tests.mailbox import clear_mails, sent_mails
from web import deliveries
from web.choices import DeliveryState
from web.clock import database_now
from web.models import Delivery

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
APART = [timedelta(days=-9), timedelta(days=9)]


@pytest.fixture(params=APART, ids=["behind", "ahead"])
def web_clock(request):
    """Begin after the fixtures of the test; all that follows runs in a process whose clock is days apart."""
    return lambda: time_machine.travel(timezone.now() + request.param)


@pytest.fixture
def acme(db):
    acme = environment(slug="acme")
    Organisation.objects.filter(pk=acme.pk).update(auto_invite_roles=[Role.MEMBER])
    proven = {"verified_at": timezone.now(), "proof": DomainProof.DNS}
    OrganisationDomain.objects.create(organisation=acme, domain="acme.test", **proven)
    return acme


def step_up_code(ada):
    client = Client()
    client.force_login(ada)
    client.post("/profile/security/confirm/", {"do": "send"})
    return MailboxCode.objects.get()


def email_change(ada):
    profile_tasks.send_email_change(ada.pk, ada.get_session_auth_hash(), "ada@new.test")
    return EmailChange.objects.get()


def password_reset(ada):
    password_tasks.send_password_reset(ada.email, "en")


def invitation(ada):
    client = Client()
    log_in(client, ada)
    client.post("/acme/members/", {"email": "new@else.test", "roles": ["member"]})
    return Invitation.objects.get()


def link_to_join(ada):
    joining_tasks.mail_link_to_join("new@acme.test", "en")
    return Invitation.objects.get()


LASTS = {
    step_up_code: timedelta(minutes=10),
    email_change: timedelta(hours=1),
    password_reset: timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT),
    invitation: timedelta(days=14),
    link_to_join: timedelta(days=1),
}


@pytest.mark.parametrize("send", LASTS, ids=[send.__name__ for send in LASTS])
def test_a_mailed_link_expires_by_the_clock_of_the_database(ada, send, web_clock):
    with web_clock():
        row = send(ada)
    expires_at = Delivery.objects.get().expires_at
    assert abs(expires_at - database_now() - LASTS[send]) < MINUTE
    assert row is None or row.expires_at == expires_at


def path_in_mail():
    return re.search(r"https?://[^/\s]+(/\S+)", sent_mails()[-1].body)[1]


@pytest.mark.parametrize("send", [invitation, link_to_join])
def test_an_invitation_opens_where_the_web_has_another_clock(ada, send, web_clock):
    send(ada)
    path = path_in_mail()
    with web_clock():
        assert Client().get(path).status_code == 200
        Invitation.objects.update(expires_at=database_now())
        assert Client().get(path).status_code == 404


def test_a_link_for_a_new_password_opens_where_the_web_has_another_clock(ada, web_clock):
    password_reset(ada)
    path = path_in_mail()
    with web_clock():
        assert Client().get(path).status_code == 200


def test_another_address_is_confirmed_where_the_web_has_another_clock(ada, web_clock):
    email_change(ada)
    path = path_in_mail()
    with web_clock():
        client = Client()
        log_in(client, ada)
        client.post(path)
    ada.refresh_from_db()
    assert ada.email == "ada@new.test"


def test_a_mailed_code_works_where_the_web_has_another_clock(web_clock):
    bob = UserFactory()
    client = Client()
    with web_clock():
        client.force_login(bob)
        client.post("/profile/security/confirm/", {"do": "send"})
    code = re.search(r"\b\d{6}\b", sent_mails()[-1].body)[0]
    assert MailboxCode.objects.get().expires_at > database_now()
    with web_clock():
        answer = client.post("/profile/security/confirm/", {"password": PASSWORD, "mailcode": code})
    assert (answer.status_code, MailboxCode.objects.filter(used_at=None).exists()) == (302, False)


def test_what_is_withdrawn_ends_by_the_clock_of_the_database(ada, web_clock):
    clear_mails()
    with web_clock():
        password_reset(ada)
        password_reset(ada)
        deliveries.withdraw(f"password reset {ada.pk}")
    ended = Delivery.objects.filter(state=DeliveryState.WITHDRAWN).values_list("ended_at", flat=True)
    assert [abs(each - database_now()) < MINUTE for each in ended] == [True, True]
