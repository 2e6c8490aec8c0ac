"""Pending log-ins: password checked, second factor not yet. Bound to that password, for five minutes, no session."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from django.contrib.auth import logout
from django.utils.crypto import constant_time_compare

from accounts import interrupted
from accounts.choices import PENDING_LOGIN_LASTS
from accounts.models import User
from accounts.requests import LogInRequest

KEY = "studio_pending_login"
MOST_TRIES = 10


@dataclass(frozen=True)
class PendingLogin:
    user_id: int
    auth_hash: str  # of the password, so that a change of it ends this
    at: float  # seconds since 1970, UTC
    next: str  # an address on this host, or empty
    tries: int = 0  # wrong codes so far


def begin(request: LogInRequest, user: User, *, after: str, now: datetime) -> None:
    """Replace the session by one that holds whose password was right, where they go next, and what was interrupted."""
    with interrupted.carried_over(request):
        logout(request)
    pending = PendingLogin(user.pk, user.get_session_auth_hash(), now.timestamp(), after)
    request.session[KEY] = asdict(pending)
    request.session.cycle_key()


def find(request: LogInRequest, *, now: datetime) -> tuple[User, PendingLogin] | None:
    """Return the pending log-in of this session; None if there is none, and an expired one is deleted."""
    kept: dict[str, Any] | None = request.session.get(KEY)
    if kept is None:
        return None
    pending = PendingLogin(**kept)
    user = User.objects.filter(pk=pending.user_id, is_active=True).first()
    age = now.timestamp() - pending.at
    if (
        user is None
        or not 0 <= age <= PENDING_LOGIN_LASTS.total_seconds()
        or pending.tries >= MOST_TRIES
        or not constant_time_compare(user.get_session_auth_hash(), pending.auth_hash)
    ):
        request.session.flush()
        return None
    return user, pending


def count_wrong_code(request: LogInRequest, pending: PendingLogin) -> None:
    request.session[KEY] = asdict(replace(pending, tries=pending.tries + 1))


def renew(request: LogInRequest, pending: PendingLogin, *, now: datetime) -> None:
    """Extend a pending log-in that made a step by five minutes, under a new session key."""
    request.session[KEY] = asdict(replace(pending, at=now.timestamp(), tries=0))
    request.session.cycle_key()
