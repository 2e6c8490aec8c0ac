"""Sessions: the function that opens them, the record of each, and the middleware that ends them.

What a session is based on (how it was opened, which factor was passed and when) is in its ``SessionRecord``, never in
the session itself, so that nothing from an earlier log-in can vouch for a later one.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, login, logout
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import transaction
from django.db.models import Q
from django.dispatch import receiver
from django.http import HttpResponse
from django.utils import timezone

from accounts import interrupted, mail
from accounts.choices import RECOVERY, OpenedBy
from accounts.models import SessionRecord, SessionRecordQuerySet, User
from accounts.providers import OWN_PATHS, behind, domains_of, still_holds, trusted_backends
from accounts.requests import LogInRequest
from accounts.requirement import device_of, has_factor
from accounts.sessions import places
from accounts.standing import SessionOver, lock_person, lock_to_act
from audit.forwarded import client_address
from audit.services import record

SESSION_ID = "studio_session_id"
SEEN_EVERY = timedelta(minutes=1)
# Written out, because the guard asks it in every request: compiled anew it takes more than three times as long.
_OPEN_RECORD = """
SELECT *, ARRAY(
    SELECT 'accounts.totpdevice/' || id FROM accounts_totpdevice WHERE user_id = session.user_id AND confirmed
    UNION ALL
    SELECT 'django_otp_webauthn.webauthncredential/' || id FROM django_otp_webauthn_webauthncredential
    WHERE user_id = session.user_id AND confirmed
) AS factors
FROM accounts_sessionrecord AS session WHERE key_hash = %s AND user_id = %s AND ended_at IS NULL
"""


@dataclass(frozen=True)
class Opening:
    """What is known about a log-in when it happens."""

    opened_by: OpenedBy = OpenedBy.PASSWORD
    factor: str = ""
    factor_at: datetime | None = None
    stepped_up_at: datetime | None = None
    is_provider_proof: bool = False
    opened_with: str = ""  # the passkey that was the whole log-in
    basis: dict[str, Any] | None = None  # of SSO
    is_reopened: bool = False  # continues a session that was just ended


def open_session(
    request: LogInRequest,
    user: User,
    *,
    opened_by: OpenedBy,
    backend: str,
    factor: str = "",
    factor_at: datetime | None = None,
) -> SessionRecord:
    """Log ``user`` in: a new session with a new key and none of the old one's content but what was interrupted.

    ``factor`` is the persistent id of the device that was passed just now, or "recovery", and ``factor_at`` when.
    """
    end_this(request, why="replaced")
    with transaction.atomic():
        lock_to_act(user, is_fresh=False)
        check_factor(user, factor)
        with interrupted.carried_over(request):
            request.session.flush()
        opened_with = factor if opened_by == OpenedBy.PASSKEY else ""
        request.opening = Opening(opened_by, factor, factor_at, stepped_up_at=factor_at, opened_with=opened_with)
        login(request, user, backend=backend)
    return request.session_record


@transaction.atomic
def pass_factor(request: LogInRequest, user: User, *, factor: str, now: datetime) -> None:
    """Store that the session's user just passed a factor; the session gets a new key.

    Raises ``SessionOver`` if the session has ended or the factor was removed meanwhile.
    """
    lock_to_act(user, is_fresh=False)
    check_factor(user, factor)
    request.session.cycle_key()
    _update(request, factor=factor, factor_at=now, stepped_up_at=now)


@transaction.atomic
def step_up(request: LogInRequest, user: User, *, at: datetime) -> None:
    """Store that the session's user confirmed their identity at ``at`` by something other than a factor."""
    lock_to_act(user, is_fresh=False)
    _update(request, stepped_up_at=at)


def check_factor(user: User, factor: str) -> None:
    """Raise ``SessionOver`` if ``factor`` was removed; the caller has locked ``user``."""
    is_there = has_factor(user) if factor == RECOVERY else not factor or device_of(user, factor) is not None
    if not is_there:
        raise SessionOver


def reopen(request: LogInRequest, user: User) -> None:
    """Reopen the current session, with its factor and step-up, after all sessions of ``user`` were ended.

    Only in the transaction that ended them, after ``lock_to_act`` found it alive.
    """
    old = request.session_record
    request.session.flush()
    request.opening = Opening(
        OpenedBy(old.opened_by),
        old.factor,
        old.factor_at,
        old.stepped_up_at,
        old.is_provider_proof,
        old.opened_with,
        old.basis,
        is_reopened=True,
    )
    login(request, user, backend=old.backend)


@transaction.atomic
def end_one(user: User, number: int, *, now: datetime, why: str) -> bool:
    """End one session of ``user`` and return whether it existed."""
    lock_to_act(user, is_fresh=False)
    return bool(user.sessions.filter(pk=number).end_sessions(now=now, why=why))


@transaction.atomic
def end_others(request: LogInRequest, user: User, *, now: datetime, why: str) -> int:
    """End every other session of ``user`` and return how many."""
    lock_to_act(user, is_fresh=False)
    return user.sessions.exclude(key_hash=_key_hash(request)).end_sessions(now=now, why=why)


@transaction.atomic
def end_all(user: User, *, now: datetime, why: str) -> int:
    """End every session of ``user``, also those without a record; return how many had one."""
    user.session_epoch = lock_person(user).session_epoch + 1
    user.save(update_fields=["session_epoch"])
    return user.sessions.end_sessions(now=now, why=why)


def end_of_factor(user: User, factor: str, *, now: datetime) -> None:
    """End the sessions that a removed factor opened, and clear it from sessions that passed it.

    The caller has locked ``user``.
    """
    opened = user.sessions.open()
    alone = Q(opened_with=factor) | Q(opened_with="", opened_by=OpenedBy.PASSKEY, factor=factor)
    opened.filter(alone).end_sessions(now=now, why="factor removed")
    opened.filter(factor=factor).update(factor="", factor_at=None, stepped_up_at=None)


@transaction.atomic
def end_without_basis(*, now: datetime) -> int:
    """End the sessions whose provider was removed, replaced, made stricter or turned off; return how many.

    So adding a provider again, or turning it on, revives none of them.
    """
    through = SessionRecord.objects.open().filter(opened_by=OpenedBy.SSO)
    ended = 0
    for path, basis, is_proof in through.values_list("backend", "basis", "is_provider_proof").distinct():
        these = through.filter(backend=path, is_provider_proof=is_proof)
        these = these.filter(Q(basis__isnull=True) if basis is None else Q(basis=basis))
        if still_holds(path, basis, is_proof=is_proof):
            these = _not_let_in(these, path, basis)
        people = User.objects.filter(pk__in=these.values("user")).order_by("pk")
        list(people.select_for_update(no_key=True).values_list("pk", flat=True))
        ended += these.end_sessions(now=now, why="provider changed")
    return ended


def _not_let_in(these: SessionRecordQuerySet, path: str, basis: dict[str, Any] | None) -> SessionRecordQuerySet:
    """Narrow sessions that one provider opened to people whom it can no longer log in."""
    provider = behind(path, basis) if path in OWN_PATHS.values() else None
    if provider is None:
        return these.none()
    at_domains = "|".join(map(re.escape, domains_of(provider)))
    return these.exclude(user__is_superuser=False, user__email__regex=f"@({at_domains})$")


def end_this(request: LogInRequest, *, why: str) -> None:
    """End the record of the request's session, if it has one."""
    opened = SessionRecord.objects.open().filter(key_hash=_key_hash(request)).select_related("user").first()
    if opened is not None:
        with transaction.atomic():
            lock_person(opened.user)
            SessionRecord.objects.filter(pk=opened.pk).end_sessions(now=timezone.now(), why=why)


def end_expired(*, now: datetime) -> int:
    """End the records of sessions whose cookie has expired; return how many."""
    too_old = now - timedelta(seconds=settings.SESSION_COOKIE_AGE) - SEEN_EVERY
    return SessionRecord.objects.filter(last_seen_at__lt=too_old).end_sessions(now=now, why="expired")


def forget_ended(*, now: datetime) -> int:
    """Delete records of ended sessions once log-ins are no longer compared with them; return how many."""
    old = SessionRecord.objects.filter(opened_at__lt=now - places.REMEMBERED, ended_at__isnull=False)
    return old.delete()[0]


def _key_hash(request: LogInRequest) -> str:
    return SessionRecord.hash_of(request.session.get(SESSION_ID, ""))


def _update(request: LogInRequest, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(request.session_record, name, value)
    request.session_record.save(update_fields=list(fields))


@receiver(user_logged_in)
@transaction.atomic
def record_session(sender: object, request: LogInRequest, user: User, **kwargs: Any) -> None:
    """Create the record when Django's ``login`` is called, and mail the user about a log-in from a new place.

    A log-in without ``open_session`` or the stamp of the SSO pipeline counts as by password alone.
    """
    now_locked = lock_person(user)
    if not now_locked.is_active or now_locked.get_session_auth_hash() != request.session[HASH_SESSION_KEY]:
        request.session.flush()
        raise SessionOver  # what they logged in with was changed or removed meanwhile
    keep = {SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY, interrupted.KEPT}
    for key in [key for key in request.session.keys() if key not in keep]:  # noqa: SIM118 - not a dict
        del request.session[key]
    backend = request.session[BACKEND_SESSION_KEY]
    address, browser = client_address(request), request.META.get("HTTP_USER_AGENT", "")[:200]
    is_familiar = places.is_familiar(user, address=address, browser=browser)
    opening = getattr(request, "opening", None) or _opening_by_sso(request, backend) or Opening()
    request.session[SESSION_ID] = session_id = secrets.token_urlsafe(32)
    request.session_record = SessionRecord.objects.create(
        user=user,
        key_hash=SessionRecord.hash_of(session_id),
        opened_by=opening.opened_by,
        backend=backend,
        factor=opening.factor,
        factor_at=opening.factor_at,
        stepped_up_at=opening.stepped_up_at,
        is_provider_proof=opening.is_provider_proof,
        opened_with=opening.opened_with,
        basis=opening.basis,
        address=address,
        browser=browser,
    )
    User.objects.filter(pk=user.pk).update(last_active_at=timezone.now())
    record("session.opened", by=user, subject=user, after={"with": opening.opened_by, "factor": opening.factor})
    if not (is_familiar or opening.is_reopened):
        mail.send(user, "new_browser", {"session": request.session_record, "at": timezone.now()})


def _opening_by_sso(request: LogInRequest, backend: str) -> Opening | None:
    stamp = getattr(request, "sso_stamp", None)  # left in this very request by the pipeline's last step
    if stamp is None or stamp.backend != backend or backend not in trusted_backends():
        return None
    return Opening(
        OpenedBy.SSO, stepped_up_at=stamp.authenticated_at, is_provider_proof=stamp.is_proof, basis=stamp.basis
    )


@receiver(user_logged_out)
def record_end(sender: object, request: LogInRequest, user: User | None, **kwargs: Any) -> None:
    if SESSION_ID in request.session:
        end_this(request, why="logged out")
        if user is not None:
            record("session.ended", by=user, subject=user)


class SessionGuard:
    """Middleware before the gate: logs out users whose session ended or whose provider no longer allows it."""

    def __init__(self, get_response: Callable[[LogInRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: LogInRequest) -> HttpResponse:
        request.session_record = request.session_ended_of = None
        if request.user.is_authenticated:
            found = self.find(request)
            if found is None:
                request.session_ended_of = request.user.pk
                logout(request)
            else:
                request.session_record = found
                self.update_last_seen(found)
        return self.get_response(request)

    @staticmethod
    def find(request: LogInRequest) -> SessionRecord | None:
        opened = next(iter(SessionRecord.objects.raw(_OPEN_RECORD, [_key_hash(request), request.user.pk])), None)
        if (
            opened
            and opened.opened_by == OpenedBy.SSO
            and not still_holds(opened.backend, opened.basis, is_proof=opened.is_provider_proof, user=request.user)
        ):
            return None
        return opened

    @staticmethod
    def update_last_seen(opened: SessionRecord) -> None:
        """Update ``last_seen_at``, at most once a minute."""
        now = timezone.now()
        if now - opened.last_seen_at >= SEEN_EVERY:
            SessionRecord.objects.filter(pk=opened.pk).update(last_seen_at=now)
            User.objects.filter(pk=opened.user_id).update(last_active_at=now)
