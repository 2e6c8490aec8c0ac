"""Acts on a user's credentials: their session is checked at the gate, and again under a lock.

A user ends their access while a thief uses a stolen session: both come at the same time. So every act on credentials,
and every act that ends access, locks the user's row first, and one waits for the other. The act then checks its
session once more, and does nothing if the session has ended meanwhile.
"""

from contextvars import ContextVar
from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from accounts.choices import STEP_UP_LASTS, OpenedBy
from accounts.models import SessionRecord, User
from accounts.providers import step_up_button


class SessionOver(PermissionDenied):
    """The session or pending log-in of an act has ended since the request began."""

    def __init__(self) -> None:
        super().__init__(_("This session has ended. Log in again."))


class StepUpOver(PermissionDenied):
    """The session of an act is no longer stepped up."""

    def __init__(self) -> None:
        super().__init__(_("Confirm your identity first: this requires a factor passed in the last ten minutes."))


@dataclass(frozen=True)
class Standing:
    """What a request is based on: user, session and whether the gate accepted it, at its start."""

    user_id: int
    auth_hash: str  # of the password and the session epoch
    session_id: int | None = None  # the primary key of a ``SessionRecord``; None: a log-in that is still pending
    is_let_in: bool = False  # by the gate

    @classmethod
    def of(cls, user: User, session: SessionRecord | None = None, *, is_let_in: bool = False) -> "Standing":
        return cls(user.pk, user.get_session_auth_hash(), session.pk if session else None, is_let_in)


# Set for each request behind the gate; not for commands, tasks or API keys, which have no session.
acting: ContextVar[Standing | None] = ContextVar("accounts_acting", default=None)


def lock_person(user: User) -> User:
    """Lock the row of ``user`` until the transaction ends, and return it as it is now."""
    return _locked({user.pk})[user.pk]


def lock_to_act(user: User, *, is_fresh: bool) -> User:
    """Lock ``user`` for an act on their credentials, check the actor's session again, and return the fresh ``user``.

    With ``is_fresh`` the session must still be stepped up. Raises ``SessionOver`` and ``StepUpOver``. Two queries.
    """
    standing = acting.get()
    rows = _locked({user.pk} if standing is None else {user.pk, standing.user_id})
    if standing is not None:
        _judge(standing, rows[standing.user_id], is_fresh=is_fresh)
    return rows[user.pk]


def _locked(numbers: set[int]) -> dict[int, User]:
    """Lock these users, always in the same order, so that no requests deadlock; rows that refer to them stay free."""
    rows = User.objects.select_for_update(no_key=True).filter(pk__in=numbers).order_by("pk")
    found = {user.pk: user for user in rows}
    if found.keys() != numbers:
        raise SessionOver  # the person was deleted
    return found


def _judge(standing: Standing, user: User, *, is_fresh: bool) -> None:
    if not user.is_active or not constant_time_compare(user.get_session_auth_hash(), standing.auth_hash):
        raise SessionOver
    if standing.session_id is None:
        if is_fresh:
            raise SessionOver  # a pending log-in cannot do what needs a session
        return
    session = SessionRecord.objects.open().filter(pk=standing.session_id, user=user).first()
    if session is None:
        raise SessionOver
    if is_fresh and not (standing.is_let_in and is_fresh_now(session)):
        raise StepUpOver


def is_fresh_now(session: SessionRecord) -> bool:
    """Return whether the session was stepped up in the last ten minutes.

    A log-in through a provider that cannot step up does not count.
    """
    if session.stepped_up_at is None or timezone.now() - session.stepped_up_at >= STEP_UP_LASTS:
        return False
    if session.opened_by != OpenedBy.SSO or session.factor_at is not None:
        return True
    return step_up_button(session.backend, session.basis, session.user_id) is not None
