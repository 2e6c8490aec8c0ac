"""The outbox: each recipient alone, growing delays, no body longer than needed, no code after it has expired."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.choices import MailPurpose
from accounts.factors import services as factors
from accounts.models import User
from environments.caller import Caller
from environments.invitations import services as invitations
from environments.keys.services import create_personal_key
from tests.factories import UserFactory, environment, member
from tests.mailbox import send_what_waited
from web.models import Delivery
from web.tasks import send_deliveries

pytestmark = pytest.mark.django_db
NAMES = ("ada", "bob", "cyd")


@pytest.fixture
def people():
    return [UserFactory(email=f"{name}@acme.test") for name in NAMES]


def mail_everybody(people):
    for user in people:
        create_personal_key(user, name="Import", by=Caller.of(user), now=timezone.now())


def send_code(user, *, now=None):
    factors.send_mailbox_code(user, purpose=MailPurpose.STEP_UP, now=now or timezone.now())


@pytest.mark.parametrize("answer", ["550 5.1.1 No such mailbox", "451 4.3.0 Later", "554 5.7.1 Relay access denied"])
def test_one_recipient_that_bounces_keeps_no_other_from_the_mail(people, post_office, answer):
    post_office.answers["bob@acme.test"] = answer
    mail_everybody(people)
    send_deliveries()
    assert sorted(post_office.recipients) == ["ada@acme.test", "cyd@acme.test"]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("550 5.1.1 No such mailbox", "refused"),
        ("552 5.2.2 Mailbox full", "refused"),
        ("451 4.3.0 Later", "waiting"),
        ("530 5.7.0 Authentication required", "waiting"),
        ("554 5.7.1 Relay access denied", "waiting"),
    ],
)
def test_what_is_wrong_with_the_address_is_final_and_what_is_wrong_with_us_waits(people, post_office, answer, state):
    post_office.answers["ada@acme.test"] = answer
    mail_everybody(people[:1])
    send_deliveries()
    assert Delivery.objects.get().state == state


@pytest.mark.parametrize("code", ["550 5.1.1", "450 4.2.1", "553"])
def test_no_log_names_whom_a_mail_server_refuses(people, post_office, caplog, code):
    post_office.answers["ada@acme.test"] = f"{code} <ada@acme.test>: Ada Lovelace is unknown here"
    mail_everybody(people[:1])
    send_deliveries()
    ours = " ".join(record.getMessage() for record in caplog.records if record.name.startswith("web."))
    assert code in ours
    assert "ada" not in ours.lower()


def test_a_mail_server_that_hangs_takes_everything_once_it_answers(people, post_office):
    post_office.is_hanging = True
    mail_everybody(people)
    send_deliveries()
    assert (post_office.delivered, Delivery.objects.waiting().count()) == ([], 3)
    post_office.is_hanging = False
    send_what_waited()
    assert sorted(post_office.recipients) == [f"{name}@acme.test" for name in NAMES]


def test_each_failure_doubles_the_delay_up_to_an_hour(people, settings):
    settings.EMAIL_BACKEND, settings.EMAIL_PORT = "django.core.mail.backends.smtp.EmailBackend", 1
    mail_everybody(people[:1])
    delays = []
    for _try in range(10):
        before = timezone.now()
        send_what_waited()
        delays.append(round((Delivery.objects.get().next_try_at - before).total_seconds()))
    assert delays == [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_a_body_is_sealed_while_it_waits_and_deleted_once_it_has_left(people, post_office):
    mail_everybody(people[:1])
    assert b"Import" not in bytes(Delivery.objects.get().sealed)
    send_deliveries()
    assert (Delivery.objects.get().state, Delivery.objects.get().sealed) == ("done", None)


def test_a_row_whose_recipient_was_changed_is_not_sent(people, post_office):
    send_code(people[0])
    Delivery.objects.update(recipient="mallory@evil.test")
    send_deliveries()
    assert post_office.delivered == []


def test_no_code_leaves_after_it_has_expired(people, post_office):
    send_code(people[0], now=timezone.now() - timedelta(minutes=11))
    send_deliveries()
    assert (post_office.delivered, Delivery.objects.get().sealed) == ([], None)


def test_of_two_codes_only_the_one_that_works_leaves(people, post_office):
    send_code(people[0])
    send_code(people[0])
    send_deliveries()
    assert len(post_office.delivered) == 1


def test_the_link_of_an_invitation_that_was_withdrawn_does_not_leave(post_office):
    acme = environment(slug="acme")
    ada = member(acme, email="ada@acme.test")
    found = invitations.invite(acme, email="ivy@acme.test", roles=["member"], by=Caller.of(ada), now=timezone.now())
    invitations.withdraw_invitation(found, by=Caller.of(ada), now=timezone.now())
    send_deliveries()
    assert post_office.delivered == []


def test_a_mail_that_was_cut_off_is_sent_again_as_the_same(people, post_office):
    mail_everybody(people[:1])
    sealed = bytes(Delivery.objects.get().sealed)
    send_deliveries()
    Delivery.objects.update(state="waiting", ended_at=None, sealed=sealed)  # as if the worker died before it noted it
    send_what_waited()
    first, second = (message["Message-ID"] for _to, message in post_office.delivered)
    assert first == second


def test_what_a_page_leaves_to_a_task_is_done_once_the_worker_comes(post_office):
    UserFactory(email="ada@acme.test")
    Client().post("/password/reset/", {"email": "ada@acme.test"})
    assert Delivery.objects.get().kind == "task"
    send_deliveries()
    assert (post_office.recipients, User.objects.count()) == (["ada@acme.test"], 1)
