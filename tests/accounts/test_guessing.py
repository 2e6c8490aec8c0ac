"""Codes against guessing: in parallel, from many addresses, at every door, and through rolled-back requests."""

from collections.abc import Callable

import pytest
import time_machine
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.factors import services as factors
from accounts.models import FailureBudget, RecoveryCode, TotpDevice, User
from accounts.throttle import budgets as throttle
from accounts.throttle.budgets import TooManyTries
from audit.models import Event
from tests.accounts.conftest import require_mfa
from tests.at_once import at_once
from tests.factories import NOW, PASSWORD, environment, member
from tests.logging_in import code, give_app, give_password, log_in

THREADS = 8


@pytest.fixture
def ada(transactional_db) -> User:
    return member(environment(name="Acme", slug="acme"), email="ada@acme.test")


def in_parallel(call: Callable[[], object]) -> int:
    """Return how many of eight simultaneous calls succeed, each with a connection of its own."""
    results = at_once(*[call] * THREADS, refused=ValidationError)
    return sum(not isinstance(result, ValidationError) for result in results)


@pytest.fixture
def generous(monkeypatch):
    """Let everybody try, so that the lock alone decides."""
    monkeypatch.setattr(throttle, "codes_of", lambda user: None)
    monkeypatch.setattr(factors, "codes_of", lambda user: None)


@pytest.mark.way(
    "Codes: one code of the app used eight times in parallel",
    "Traps of the libraries: a device verified without the lock of its row",
)
def test_eight_parallel_uses_of_one_code_of_the_app_let_one_in(ada, generous):
    give_app(ada)
    shown = code()
    assert in_parallel(lambda: factors.verify_app(ada, shown, now=timezone.now())) == 1


@pytest.mark.way("Codes: one recovery code used eight times in parallel")
def test_eight_parallel_uses_of_one_recovery_code_let_one_in(ada, generous):
    give_app(ada)
    RecoveryCode.objects.create(user=ada, hash=RecoveryCode.hash_of("0123456789abcdef"))
    assert in_parallel(lambda: factors.use_recovery_code(ada, "0123456789abcdef", now=timezone.now())) == 1


@pytest.mark.way("Codes: guessing in parallel")
def test_parallel_guesses_cannot_share_a_try(ada):
    give_app(ada)
    in_parallel(lambda: factors.verify_app(ada, "000000", now=timezone.now()))
    assert FailureBudget.objects.get(key=f"codes:{ada.pk}").failures == 5


@pytest.mark.way("Tokens and recovery: the last factor removed while it is required")
def test_of_two_factors_removed_at_once_one_stays_where_one_is_required(ada):
    require_mfa(ada.memberships.get().organisation)
    devices = [give_app(ada, name="One"), give_app(ada, name="Two", key=b"another twenty bytes")]
    chosen = iter(devices * (THREADS // 2))
    in_parallel(lambda: factors.remove(ada, next(chosen).persistent_id, by=ada, now=timezone.now()))
    assert TotpDevice.objects.count() == 1


@time_machine.travel(NOW, tick=False)  # a slow machine must not sit out the waits
@pytest.mark.way("Codes: guessing from many addresses", "Codes: guessing at many doors")
@pytest.mark.faults
def test_200_guesses_over_four_addresses_and_three_doors_are_refused_after_the_budget(ada):
    give_app(ada)
    RecoveryCode.objects.create(user=ada, hash=RecoveryCode.hash_of("0123456789abcdef"))
    visitors = []
    for number in range(4):
        visitor = Client(REMOTE_ADDR=f"192.0.2.{number}")
        give_password(visitor, ada)
        visitors.append(visitor)
    inside = Client(REMOTE_ADDR="192.0.2.9")
    log_in(inside, ada)
    statuses = []
    for number in range(200):
        visitor = visitors[number % 4]
        guess = f"{number:06d}"
        if number % 3 == 0:
            answer = visitor.post("/verify/", {"code": guess})
        elif number % 3 == 1:
            answer = visitor.post("/verify/", {"code": guess, "with": "recovery"})
        else:
            answer = inside.post("/profile/security/confirm/", {"code": guess})
        statuses.append(answer.status_code)
        if answer.status_code == 302 and answer.url == "/login/":  # the pending log-in ends after ten tries
            give_password(visitor, ada)

    assert statuses[:5].count(200) == 5
    assert 200 not in statuses[5:]
    assert 429 in statuses[5:]
    assert FailureBudget.objects.get(key=f"codes:{ada.pk}").failures == 5
    assert Event.objects.filter(action="sign_in.slowed", subject_id=ada.pk).count() == 1
    right = Client(REMOTE_ADDR="192.0.2.77")
    give_password(right, ada)
    assert right.post("/verify/", {"code": code()}).status_code == 429


@pytest.mark.way(
    "Codes: counters rolled back by an exception",
    "Traps of the libraries: throttling that is rolled back with the request",
)
def test_a_request_that_rolls_back_forgives_nothing(ada):
    give_app(ada)
    for _try in range(5):
        with pytest.raises(PermissionDenied):
            guess_and_fail(ada)
    with pytest.raises(TooManyTries):
        factors.verify_app(ada, code(), now=timezone.now())


def guess_and_fail(user: User) -> None:
    """Do what a view would that fails after the check: its own transaction is rolled back."""
    try:
        factors.verify_app(user, "000000", now=timezone.now())
    except factors.WrongCode as error:
        with transaction.atomic():
            user.save()
            raise PermissionDenied from error


@pytest.mark.way("Codes: counters rolled back by an exception")
def test_a_check_inside_somebody_elses_transaction_fails_loudly(ada):
    give_app(ada)
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        factors.verify_app(ada, "000000", now=timezone.now())


def test_a_success_forgives_only_its_own_try(ada):
    give_app(ada)
    for _try in range(3):
        with pytest.raises(factors.WrongCode):
            factors.verify_app(ada, "000000", now=timezone.now())
    factors.verify_app(ada, code(), now=timezone.now())
    assert FailureBudget.objects.get(key=f"codes:{ada.pk}").failures == 3


def test_waits_grow_and_end(ada):
    budget = throttle.codes_of(ada)
    assert [budget.wait_seconds(failures) for failures in range(4, 12)] == [0, 30, 60, 120, 240, 480, 900, 900]


def test_wrong_passwords_of_strangers_do_not_shut_the_other_doors(ada, client):
    for _try in range(12):
        Client().post("/login/", {"email": ada.email, "password": "Wrong-Horse-9"})
    give_app(ada)
    assert client.post("/login/", {"email": ada.email, "password": PASSWORD}).status_code == 429
    assert factors.verify_app(ada, code(), now=timezone.now())


@pytest.mark.faults
def test_one_address_is_slowed_over_many_accounts(ada):
    visitor = Client(REMOTE_ADDR="192.0.2.1")
    statuses = [
        visitor.post("/login/", {"email": f"nobody-{number}@acme.test", "password": "x"}).status_code
        for number in range(52)
    ]
    assert statuses[49:] == [200, 429, 429]
    assert give_password(Client(REMOTE_ADDR="192.0.2.2"), ada).status_code == 302


@pytest.mark.faults
def test_a_network_of_ipv6_is_slowed_as_one_address(ada):
    statuses = [
        Client(REMOTE_ADDR=f"2001:db8:0:1::{number:x}")
        .post("/login/", {"email": f"nobody-{number}@acme.test", "password": "x"})
        .status_code
        for number in range(52)
    ]
    assert statuses[49:] == [200, 429, 429]
    assert give_password(Client(REMOTE_ADDR="2001:db8:0:2::1"), ada).status_code == 302


@pytest.mark.way("Enrolment: set-up overwrites a factor")
def test_set_up_overwrites_no_factor(ada):
    device = give_app(ada)
    sealed = bytes(device.secret)
    visitor = Client()
    log_in(visitor, ada)
    visitor.get("/enrol/")
    visitor.post("/enrol/", {"name": "Phone", "appcode": "000000"})
    assert bytes(TotpDevice.objects.get().secret) == sealed
