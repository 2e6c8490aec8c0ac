"""Budgets of failed tries: stored in the database, committed apart from the request's transaction.

A try is reserved before anything is checked, so that parallel guesses cannot share one. A success returns its own try
and clears no other failure.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import ngettext

from accounts.models import FailureBudget, User
from accounts.standing import SessionOver, StepUpOver
from audit.context import current
from audit.services import record
from web.addresses import key_of


@dataclass(frozen=True)
class Budget:
    """Some free failures; each further one doubles the wait, up to a limit. An hour without failure clears it."""

    key: str  # at most 100 characters
    free: int
    user: User | None = None  # the user it belongs to, for the audit event

    FIRST_WAIT_SECONDS = 30
    LONGEST_WAIT_SECONDS = 900
    CLEARED_AFTER = timedelta(hours=1)

    def wait_seconds(self, failures: int) -> int:
        """Return how long after a failure the next try must wait when ``failures`` went before."""
        if failures < self.free:
            return 0
        return min(self.FIRST_WAIT_SECONDS << min(failures - self.free, 10), self.LONGEST_WAIT_SECONDS)

    def ends_at(self, failures: int, *, since: datetime) -> datetime:
        """Return when the next try is possible after ``failures``, the latest of them at ``since``."""
        return since + timedelta(seconds=self.wait_seconds(failures))


# How many failures each kind of budget allows without a wait; a key begins with its kind.
FREE = {
    "codes": 5,
    "mails": 5,
    "password": 10,
    "reset": 5,
    "join": 3,
    "link": 5,
    "domains": 10,
    "trials": 20,
    "address": 50,
    "stranger": 5,
    "inviter": 30,
    "inviting": 100,
    "asking": 20,
}

IPV6_CALLER_BITS = 64
MOST_VISITS, VISITS_WITHIN = 60, timedelta(minutes=1)


def codes_of(user: User) -> Budget:
    """All codes of a user: every factor from every address, together."""
    return Budget(f"codes:{user.pk}", free=FREE["codes"], user=user)


def mails_to(user: User) -> Budget:
    return Budget(f"mails:{user.pk}", free=FREE["mails"], user=user)


def password_of(email: str) -> Budget:
    """Passwords for an e-mail address, with or without an account. SSO and passkeys do not count here."""
    return Budget(f"password:{_hash_of(email)}", free=FREE["password"])


def reset_of(email: str) -> Budget:
    """Links for a new password, requested from anywhere, with or without an account."""
    return Budget(f"reset:{_hash_of(email)}", free=FREE["reset"])


def joins_of(email: str) -> Budget:
    """Links to join an organisation, requested from anywhere, with or without an account."""
    return Budget(f"join:{_hash_of(email)}", free=FREE["join"])


def mails_to_stranger(email: str) -> Budget:
    """Mails to an address whose owner did not ask for them, from all senders."""
    return Budget(f"stranger:{_hash_of(email)}", free=FREE["stranger"])


def addresses_of_link(link_id: int) -> Budget:
    """Addresses that whoever opens an invitation link types, for a mail to them."""
    return Budget(f"link:{link_id}", free=FREE["link"])


def invitations_by(user: User) -> Budget:
    return Budget(f"inviter:{user.pk}", free=FREE["inviter"], user=user)


def invitations_of(organisation_id: int) -> Budget:
    return Budget(f"inviting:{organisation_id}", free=FREE["inviting"])


def access_asked_by(user: User) -> Budget:
    """Requests for access, to organisations that exist or not: each is work for the queue that sends mails."""
    return Budget(f"asking:{user.pk}", free=FREE["asking"], user=user)


def domain_checks_of(organisation_id: int) -> Budget:
    """DNS look-ups requested on a page."""
    return Budget(f"domains:{organisation_id}", free=FREE["domains"])


def provider_trials_of(organisation_id: int) -> Budget:
    """Trials of identity providers: each makes Studio call addresses that an Administrator chose."""
    return Budget(f"trials:{organisation_id}", free=FREE["trials"])


def current_address() -> Budget | None:
    """The address that the running request came from; None where there is none."""
    address = current.get().address
    return Budget(f"address:{caller_at(address)}", free=FREE["address"]) if address else None


def caller_at(address: str) -> str:
    """Return what belongs to one caller: an IPv4 address, or a /64 network of IPv6."""
    is_ipv4 = ip_address(address).version == 4
    return address if is_ipv4 else str(ip_network(f"{address}/{IPV6_CALLER_BITS}", strict=False))


def _hash_of(email: str) -> str:
    return hashlib.sha256(key_of(email).encode()).hexdigest()


class TooManyTries(ValidationError):
    """The budget is spent; ``wait_seconds`` until the next try."""

    def __init__(self, wait_seconds: int) -> None:
        self.wait_seconds = wait_seconds
        minutes = max(1, -(-wait_seconds // 60))
        super().__init__(
            ngettext(
                "Too many tries. Wait %(minutes)s minute and try again.",
                "Too many tries. Wait %(minutes)s minutes and try again.",
                minutes,
            )
            % {"minutes": minutes},
            code="too_many_tries",
        )


@contextmanager
def one_try(*budgets: Budget | None) -> Iterator[None]:
    """Reserve a try in each budget; if the block raises, they are used up, else they are returned.

    ``SessionOver`` returns them too: nothing was checked.

    Pass the widest budget first, so that a spent address costs nobody else a try. Raises ``TooManyTries`` if a budget
    is spent, and ``RuntimeError`` inside a transaction, whose rollback would undo the count.
    """
    now = timezone.now()
    spent: list[Budget] = []
    for budget in filter(None, budgets):
        if wait_seconds := spend(budget, now=now):
            _refund_all(spent)
            raise TooManyTries(wait_seconds)
        spent.append(budget)
    try:
        yield
    except (SessionOver, StepUpOver):
        _refund_all(spent)
        raise
    _refund_all(spent)


def use_up(budget: Budget) -> None:
    """Use up a try. Raises ``TooManyTries``."""
    if wait_seconds := spend(budget, now=timezone.now()):
        raise TooManyTries(wait_seconds)


def count_mail(*budgets: Budget) -> None:
    """Count a mail in each budget, in the caller's transaction: a mail that is rolled back costs nothing.

    Callers pass the budgets in the same order, so that two of them never deadlock. Raises ``TooManyTries``.
    """
    for budget in budgets:
        if wait_seconds := spend(budget, now=timezone.now(), apart=False):
            raise TooManyTries(wait_seconds)


def count_visit(kind: str = "visits") -> None:
    """Count a visit that creates a session row for a visitor, such as a passkey's challenge.

    Each address has a limit a minute for each kind. Raises ``TooManyTries``.
    """
    now, address = timezone.now(), current.get().address
    if address is None:
        return
    key = f"{kind}:{caller_at(address)}"
    rows = FailureBudget.objects.filter(key=key)
    with transaction.atomic(durable=True):
        FailureBudget.objects.bulk_create([FailureBudget(key=key, since=now)], ignore_conflicts=True)
        rows.filter(since__lte=now - VISITS_WITHIN).update(failures=0, since=now)
        if not rows.filter(failures__lt=MOST_VISITS).update(failures=F("failures") + 1):
            raise TooManyTries(int(VISITS_WITHIN.total_seconds()))


def spend(budget: Budget, *, now: datetime, apart: bool = True) -> int:
    """Reserve one try and commit it; return 0, or the seconds to wait if there is none.

    ``apart`` False leaves the commit to the caller's transaction.
    """
    rows = FailureBudget.objects.filter(key=budget.key)
    with transaction.atomic(durable=apart):
        FailureBudget.objects.bulk_create([FailureBudget(key=budget.key, since=now)], ignore_conflicts=True)
        rows.filter(since__lt=now - Budget.CLEARED_AFTER).update(failures=0, is_told=False)
        if rows.filter(_may_try(budget, now)).update(failures=F("failures") + 1, since=now):
            return 0
        row = rows.get()
        if not row.is_told and rows.filter(is_told=False).update(is_told=True):
            record("sign_in.slowed", by=None, subject=budget.user, after={"door": budget.key.partition(":")[0]})
    return max(1, round((budget.ends_at(row.failures, since=row.since) - now).total_seconds()))


def refund(budget: Budget) -> None:
    FailureBudget.objects.filter(key=budget.key, failures__gt=0).update(failures=F("failures") - 1)


def _refund_all(budgets: list[Budget]) -> None:
    for budget in budgets:
        refund(budget)


def _may_try(budget: Budget, now: datetime) -> Q:
    allowed = Q(failures__lt=budget.free)
    failures = budget.free
    while (wait := budget.wait_seconds(failures)) < Budget.LONGEST_WAIT_SECONDS:
        allowed |= Q(failures=failures, since__lte=now - timedelta(seconds=wait))
        failures += 1
    return allowed | Q(failures__gte=failures, since__lte=now - timedelta(seconds=wait))
