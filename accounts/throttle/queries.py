"""Who is slowed now, for administrators; read from the budgets."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import CharField, F, Func
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import FailureBudget, User
from accounts.throttle.budgets import FREE, Budget, codes_of, password_of
from audit.services import record

LABELS: dict[str, Promise] = {
    "codes": gettext_lazy("codes"),
    "password": gettext_lazy("password"),
    "mails": gettext_lazy("mailed codes"),
    "reset": gettext_lazy("forgotten passwords"),
    "join": gettext_lazy("links to join"),
    "link": gettext_lazy("addresses for one invitation link"),
    "domains": gettext_lazy("DNS look-ups"),
    "stranger": gettext_lazy("mails to one address"),
    "inviter": gettext_lazy("invitations by one person"),
    "inviting": gettext_lazy("invitations of one organisation"),
    "asking": gettext_lazy("requests for access"),
    "address": gettext_lazy("everything from one address"),
}
NUMBERED = frozenset({"codes", "mails", "inviter", "asking"})  # kinds whose budgets are kept by a user's number
HASHED = frozenset({"password", "reset", "join", "stranger"})  # and by the hash of an e-mail


@dataclass(frozen=True, slots=True)
class Slowed:
    """A spent budget: what it slows, until when, and whose it is, if known."""

    pk: int
    kind: str  # a key of ``LABELS``
    until: datetime
    failures: int
    whose: str  # an e-mail or network address; empty for an e-mail address without an account
    user: User | None = None

    @property
    def label(self) -> str:
        return str(LABELS[self.kind])


def slowed_people(users: Iterable[User], *, now: datetime) -> dict[int, list[Slowed]]:
    """Return what slows each of these users, by primary key; users who are not slowed are left out. One query."""
    owners = {budget.key: user for user in users for budget in (codes_of(user), password_of(user.email))}
    found: dict[int, list[Slowed]] = {}
    for row in FailureBudget.objects.filter(key__in=owners).order_by("key"):
        user = owners[row.key]
        if one := _slowed(row, whose=str(user), user=user, now=now):
            found.setdefault(user.pk, []).append(one)
    return found


def slowed_everywhere(*, now: datetime) -> list[Slowed]:
    """Return every spent budget, those that wait longest first. Three queries."""
    waiting = FailureBudget.objects.filter(
        since__gte=now - timedelta(seconds=Budget.LONGEST_WAIT_SECONDS), failures__gte=min(FREE.values())
    )
    rows = list(waiting)
    people = _people_behind(rows)
    found = []
    for row in rows:
        user = people.get(row.key)
        whose = row.key.partition(":")[2] if row.key.startswith("address:") else str(user) if user else ""
        if one := _slowed(row, whose=whose, user=user, now=now):
            found.append(one)
    return sorted(found, key=lambda one: (one.until, one.pk), reverse=True)


def allow_next_try(number: int, *, by: User) -> None:
    """Delete a budget, so that the next try is free. Raises ``PermissionDenied`` unless ``by`` is a super user."""
    if not by.is_superuser:
        raise PermissionDenied(_("Only super users can do this."))
    with transaction.atomic():
        row = FailureBudget.objects.select_for_update().filter(pk=number).first()
        if row is None:
            return
        kind, _colon, rest = row.key.partition(":")
        before = {"door": kind, "failures": row.failures} | ({"address": rest} if kind == "address" else {})
        record("sign_in.cleared", by=by, subject=_people_behind([row]).get(row.key), before=before)
        row.delete()


def _slowed(row: FailureBudget, *, whose: str, user: User | None, now: datetime) -> Slowed | None:
    kind = row.key.partition(":")[0]
    if kind not in LABELS:
        return None
    until = Budget(row.key, free=FREE[kind]).ends_at(row.failures, since=row.since)
    return Slowed(row.pk, kind, until, row.failures, whose, user) if until > now else None


def _people_behind(rows: list[FailureBudget]) -> dict[str, User]:
    """Return the users of these budgets, by budget key; budgets of e-mail addresses are found by hash."""
    keys = {row.key: row.key.partition(":") for row in rows}
    numbers = {int(rest) for kind, _colon, rest in keys.values() if kind in NUMBERED}
    hashes = {rest for kind, _colon, rest in keys.values() if kind in HASHED}
    by_number = User.objects.in_bulk(numbers) if numbers else {}
    by_hash = _with_hashes(hashes) if hashes else {}
    found = {
        key: by_number.get(int(rest)) if kind in NUMBERED else by_hash.get(rest)
        for key, (kind, _colon, rest) in keys.items()
        if kind in NUMBERED | HASHED
    }
    return {key: user for key, user in found.items() if user is not None}


def _with_hashes(hashes: set[str]) -> dict[str, User]:
    """Return the users whose e-mail addresses have these hashes, by hash."""
    template = "encode(sha256(convert_to(%(expressions)s, 'UTF8')), 'hex')"
    digest = Func(F("email"), template=template, output_field=CharField())
    found = User.objects.annotate(email_hash=digest).filter(email_hash__in=hashes)
    return {user.email_hash: user for user in found}
