"""Candidates: users on the pages that ask for a factor, half logged in or in a session that is not enough."""

from dataclasses import dataclass
from datetime import datetime

from accounts.choices import PASSWORD_BACKEND, Decision, OpenedBy
from accounts.models import User
from accounts.requests import LogInRequest
from accounts.requirement import has_factor
from accounts.sessions import pending
from accounts.sessions import services as sessions
from accounts.sessions.pending import PendingLogin
from accounts.standing import Standing, acting


@dataclass(frozen=True)
class Candidate:
    """A user who must pass a factor before they can open any page."""

    user: User
    pending: PendingLogin | None  # None: they have a live session that is not good enough

    @property
    def next(self) -> str:
        return self.pending.next if self.pending else ""

    @property
    def decision(self) -> Decision:
        return Decision.VERIFY if has_factor(self.user) else Decision.ENROL


def find(request: LogInRequest, *, now: datetime) -> Candidate | None:
    if request.held:
        return Candidate(request.held.user, None)
    found = pending.find(request, now=now)
    if found is None:
        return None
    acting.set(Standing.of(found[0]))
    return Candidate(*found)


def complete_log_in(request: LogInRequest, candidate: Candidate, *, factor: str, now: datetime) -> None:
    """Open a session for a candidate who passed ``factor``, or note the factor in the one they have."""
    if candidate.pending:
        sessions.open_session(
            request,
            candidate.user,
            opened_by=OpenedBy.PASSWORD,
            backend=PASSWORD_BACKEND,
            factor=factor,
            factor_at=now,
        )
    else:
        request.session_record = request.held.session
        sessions.pass_factor(request, candidate.user, factor=factor, now=now)
        request.user = candidate.user


def count_wrong_code(request: LogInRequest, candidate: Candidate) -> None:
    if candidate.pending:
        pending.count_wrong_code(request, candidate.pending)
