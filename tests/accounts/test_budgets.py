"""Every door where something can be guessed or made by the thousand has its budget, and none tells who exists."""

import re
import statistics
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from social_django.models import Association, Nonce

from accounts import tasks
from accounts.gate import OPEN_VIEWS
from accounts.models import FailureBudget, User
from accounts.passwords import tasks as password_tasks
from audit.models import Event
from environments.models import Invitation, InvitationLink, Organisation
from tests.factories import NOW, PASSWORD, UserFactory, organisation
from tests.logging_in import give_app, give_password, is_let_in, log_in
from tests.mailbox import sent_mails

TOKEN = re.compile(r"\b[A-Za-z0-9]{64}\b")  # against forged requests, and other ones in each answer
BEGIN, OFFER = "otp_webauthn:credential-authentication-begin", "otp_webauthn:credential-authentication-offer"
# What each door counts, by the kind of its budgets' keys.
DOORS = {
    "accounts:login": {"password", "address"},
    "accounts:organisation-log-in": {"organisations"},
    "accounts:verify": {"codes", "address"},
    "accounts:enrol": {"codes", "address", "mails"},
    "accounts:step-up": {"codes", "address"},
    "accounts:reset-password": {"reset", "address"},
    "accounts:change-email": {"mails", "address"},
    "environments:invitation-link": {"link", "stranger", "address"},
    "environments:join": {"join", "address"},
    BEGIN: {"visits"},
    OFFER: {"offers"},
    "otp_webauthn:credential-authentication-complete": {"address"},
    "social:begin": {"visits"},
}
# Open views that need none: what they take cannot be guessed, or they change nothing.
NOT_DOORS = {
    "accounts:logout": "ends a session",
    "accounts:set-password": "a link of 128 bits and more",
    "accounts:reset-password-sent": "takes nothing",
    "accounts:dev-mailbox": "development alone",
    "accounts:dev-mail": "development alone",
    "accounts:dev-mail-html": "development alone",
    "environments:invitation": "a link of 256 bits",
    "environments:invitation-link-sent": "takes nothing",
    "environments:join-sent": "takes nothing",
    "healthz": "takes nothing",
    "metrics": "a token of the settings",
    "readyz": "takes nothing",
    "receipts-public-key": "takes nothing",
    "set_language": "a cookie",
    "studio:theme": "a cookie",
    "otp_webauthn:credential-registration-begin": "behind the mailed code or step-up",
    "otp_webauthn:credential-registration-complete": "behind the mailed code or step-up",
    "otp_webauthn:js-i18n-catalog": "takes nothing",
    "social:complete": "a state of 190 bits, and the provider's signature",
}


@pytest.fixture
def ada(transactional_db) -> User:
    return UserFactory(email="ada@acme.test")


def visitor(number: int = 1) -> Client:
    return Client(REMOTE_ADDR=f"192.0.2.{number}")


def half_logged_in(user: User) -> Client:
    client = visitor()
    give_password(client, user)
    return client


def inside(user: User) -> Client:
    client = visitor()
    log_in(client, user)
    return client


def try_log_in(user: User) -> object:
    return visitor().post("/login/", {"email": user.email, "password": "Wrong-Horse-9"})


def try_code(user: User) -> object:
    give_app(user)
    return half_logged_in(user).post("/verify/", {"code": "000000"})


def try_step_up(user: User) -> object:
    return inside(user).post("/profile/security/confirm/", {"code": "000000"})


def try_enrol(user: User) -> object:
    client = visitor()
    give_password(client, user)
    client.post("/enrol/", {"do": "send"})
    return client.post("/enrol/", {"mailcode": "000000"})


def try_reset(user: User) -> object:
    return visitor().post("/password/reset/", {"email": user.email})


def try_change_of_email(user: User) -> object:
    return inside(user).post("/profile/email/", {"email": "new@acme.test"})


def try_passkey(user: User) -> object:
    client = visitor()
    client.post(reverse(BEGIN), content_type="application/json")
    return client.post(reverse(BEGIN.replace("begin", "complete")), {}, content_type="application/json")


def try_invitation_link(user: User) -> object:
    top = Organisation.objects.filter(slug="top").first() or organisation(name="Top", slug="top")
    link = InvitationLink.objects.first() or InvitationLink.objects.create(
        organisation=top,
        roles=["member"],
        token_hash=Invitation.hash_of("token"),
        created_by=user,
        expires_at=timezone.now() + timedelta(days=9_000),
    )
    assert link.used_at is None
    return visitor().post("/invite/token/", {"email": "new@acme.test"})


TRIES: dict[str, Callable[[User], object]] = {
    "accounts:login": try_log_in,
    "accounts:organisation-log-in": lambda user: visitor().post("/login/organisation/", {"email": "a@no.test"}),
    "accounts:verify": try_code,
    "accounts:enrol": try_enrol,
    "accounts:step-up": try_step_up,
    "accounts:reset-password": try_reset,
    "accounts:change-email": try_change_of_email,
    "environments:invitation-link": try_invitation_link,
    "environments:join": lambda user: visitor().post("/join/", {"email": "new@acme.test"}),
    BEGIN: lambda user: visitor().post(reverse(BEGIN)),
    OFFER: lambda user: visitor().post(reverse(OFFER)),
    "otp_webauthn:credential-authentication-complete": try_passkey,
    "social:begin": lambda user: visitor().post("/sso/login/oidc-acme/"),
}


def test_every_open_view_is_a_door_with_a_budget_or_says_why_not():
    assert set(OPEN_VIEWS) - set(DOORS) - set(NOT_DOORS) == set()
    assert set(DOORS) & set(NOT_DOORS) == set()
    assert set(DOORS) == set(TRIES)


@pytest.mark.parametrize("door", DOORS)
def test_a_failure_at_a_door_is_counted_in_each_of_its_budgets(ada, provider, door):
    TRIES[door](ada)
    counted = {row.key.partition(":")[0] for row in FailureBudget.objects.filter(failures__gt=0)}
    assert counted >= DOORS[door]


@pytest.mark.parametrize("door", DOORS)
@time_machine.travel(NOW, tick=False)
def test_a_door_is_shut_while_its_own_budget_is_spent(ada, provider, door):
    TRIES[door](ada)
    own = DOORS[door] - {"address"} or DOORS[door]
    spent = [row.pk for row in FailureBudget.objects.all() if row.key.partition(":")[0] in own]
    FailureBudget.objects.filter(pk__in=spent).update(failures=10_000, since=NOW)
    assert TRIES[door](ada).status_code == (204 if door == OFFER else 429)  # nothing is offered, and nothing is wrong
    assert set(FailureBudget.objects.filter(pk__in=spent).values_list("failures", flat=True)) == {10_000}


def test_refused_tries_of_a_slowed_address_are_not_counted_against_the_account(ada):
    FailureBudget.objects.create(key="address:192.0.2.1", failures=10_000, since=timezone.now())
    for _try in range(3):
        assert try_log_in(ada).status_code == 429
    assert not FailureBudget.objects.filter(key__startswith="password:").exists()


def test_anonymous_passkey_requests_are_limited_and_their_sessions_short(db, settings):
    answers = [visitor().post(reverse(BEGIN)).status_code for _visit in range(65)]
    assert (answers.count(200), answers[-1]) == (60, 429)
    assert Session.objects.count() == 60
    assert visitor(2).post(reverse(BEGIN)).status_code == 200


def test_a_visitor_with_a_session_is_given_no_second_one(db):
    client = visitor()
    for _visit in range(5):
        assert client.post(reverse(BEGIN)).status_code == 200
    assert Session.objects.count() == 1
    assert Session.objects.get().get_decoded()["_session_expiry"] == 900


def test_round_trips_that_one_browser_leaves_unfinished_take_no_more_rows_and_no_bigger_session(db, provider):
    client = visitor()
    begun = [client.post("/sso/login/oidc-acme/", {"next": "/" + "a" * 100_000}) for _time in range(12)]
    assert {answer.status_code for answer in begun} == {302}
    assert (Nonce.objects.count(), Association.objects.count(), Session.objects.count()) == (5, 5, 1)
    session = Session.objects.get()
    assert len(session.session_data) < 4_000
    assert session.get_decoded()["_session_expiry"] == 900


def test_the_latest_of_many_round_trips_still_comes_back(client, sam, provider, idp, through_sso):
    for _time in range(8):
        client.post("/sso/login/oidc-acme/")
    through_sso("sam")
    assert is_let_in(client)


def test_beat_deletes_the_round_trips_that_nobody_finished(db, provider):
    with time_machine.travel(timezone.now() - timedelta(minutes=31)):
        for number in range(3):
            visitor(number).post("/sso/login/oidc-acme/")
    visitor(9).post("/sso/login/oidc-acme/")
    tasks.clear_sessions()
    assert (Nonce.objects.count(), Association.objects.count(), Session.objects.count()) == (1, 1, 1)


def test_resets_for_one_address_are_slowed_from_everywhere_and_the_page_does_not_say_so(ada):
    answers = {}
    for email in (ada.email, "nobody@acme.test"):
        answers[email] = [visitor(number).post("/password/reset/", {"email": email}).status_code for number in range(7)]
    assert answers[ada.email] == answers["nobody@acme.test"] == [302] * 5 + [429] * 2


def test_texts_and_statuses_are_the_same_for_who_exists_and_who_does_not(ada):
    give_app(ada)
    sam = UserFactory(email="sam@acme.test", password=None)
    gone = UserFactory(email="gone@acme.test", is_active=False)
    texts = set()
    for email in (ada.email, sam.email, gone.email, "nobody@acme.test"):
        answer = Client().post("/login/", {"email": email, "password": "Wrong-Horse-9"})
        text = TOKEN.sub("", answer.content.decode().replace(email, "?"))
        texts.add((answer.status_code, text))
    right = Client().post("/login/", {"email": gone.email, "password": PASSWORD})
    assert right.status_code == 200
    assert len(texts) == 1


@pytest.mark.usefixtures("real_cost_of_hashes")
def test_an_unknown_address_takes_as_long_as_a_wrong_password(ada):
    UserFactory(email="sam@acme.test", password=None)

    def milliseconds(email: str) -> float:
        FailureBudget.objects.all().delete()
        start = time.perf_counter()
        Client().post("/login/", {"email": email, "password": "Wrong-Horse-9"})
        return (time.perf_counter() - start) * 1000

    emails = (ada.email, "sam@acme.test", "nobody@acme.test")
    taken = {email: [] for email in emails}
    for _round in range(9):
        for email in emails:  # in turns, so that a busy machine slows all alike
            taken[email].append(milliseconds(email))
    medians = [statistics.median(taken[email]) for email in emails]
    assert max(medians) < 1.5 * min(medians)


def test_a_slowed_door_is_on_record_once(ada):
    for _try in range(13):
        try_log_in(ada)
    assert Event.objects.filter(action="sign_in.slowed").count() == 1


def test_a_reset_for_an_unknown_address_sends_no_mail(db):
    password_tasks.send_password_reset("nobody@acme.test", "en")
    assert sent_mails() == []
