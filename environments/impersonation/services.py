"""Impersonation: an Administrator views their organisation as one of its members sees it, and changes nothing.

The session stays the impersonator's. The session guard and the gate check the impersonator at every request, before
anything here runs; then the member becomes ``request.user``, only on pages behind the gate. ``request.caller`` has only
the permissions that both have, below the organisation where the impersonation began. The state is stored in the
session's record, so requests of other people cost nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import Resolver404, ResolverMatch, resolve, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import mail
from accounts.gate import OPEN_VIEWS
from accounts.models import SessionRecord, User
from accounts.standing import lock_to_act
from audit.context import current
from audit.services import label_of, record
from environments.access import permissions_in
from environments.caller import Caller
from environments.choices import CallerKind, Permission
from environments.impersonation.read_only import switch_off
from environments.models import Membership, Organisation
from environments.requests import StudioRequest

IMPERSONATION_LASTS = timedelta(hours=1)
STOP, LOG_OUT = "environments:stop-impersonation", "accounts:logout"
# Served to the impersonator, also where they change something: it belongs to the impersonator.
OWN_VIEWS: Final = frozenset({STOP, LOG_OUT, "set_language", "studio:theme"})
PERSONAL_ROOMS: Final = frozenset({"accounts", "social", "otp_webauthn"})  # closed with every page that they get later
PERSONAL_VIEWS: Final = frozenset(
    {"environments:api-keys", "environments:revoke-api-key", "environments:ask-access", "environments:leave"}
)
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Impersonation:
    """The impersonation of a request, for the notice in the title bar."""

    by: User
    member: User
    organisation: Organisation
    ends_at: datetime

    @property
    def name(self) -> str:
        return self.member.label

    @property
    def stop_address(self) -> str:
        return reverse(STOP)


# -- Begin, end and check an impersonation -----------------------------------------------------------


def obstacle_to_impersonation(by: Caller, membership: Membership) -> str:
    """Return a sentence that says why ``by`` cannot impersonate the member; empty if they can."""
    member = membership.user
    if by.user == member:
        return _("You are this member already.")
    if member.is_superuser:
        return _("You cannot impersonate a super user.")
    if by.kind == CallerKind.IMPERSONATOR:
        return _("Stop viewing Studio as another person first.")
    if not membership.is_live(timezone.now()) or not member.is_active:
        return _("This member has no access at the moment.")
    if Permission.IMPERSONATE not in permissions_in(by, membership.organisation):
        return _("Only an Administrator can impersonate a member.")
    return ""


@transaction.atomic
def begin_impersonation(request: StudioRequest, membership: Membership, *, now: datetime) -> None:
    """Let the session's user view Studio as the member for an hour; the view has asked for step-up.

    The member is mailed and sees it among their security events. Raises ``PermissionDenied``.
    """
    member, organisation = membership.user, membership.organisation
    lock_to_act(member, is_fresh=True)  # and the impersonator: neither loses permissions meanwhile
    if why_not := obstacle_to_impersonation(request.caller, membership):
        raise PermissionDenied(why_not)
    by = request.caller.require_person()
    ends_at = now + IMPERSONATION_LASTS
    _store_in_session(request.session_record, looks_as=member, looks_in_id=organisation.pk, looks_until=ends_at)
    until = {"until": ends_at}
    record("impersonation.begun", organisation, by=by, subject=member, after=until)
    record("impersonation.begun", by=by, subject=member, after={"name": by.label, **until})
    mail.send(member, "impersonated", {"by": by.label, "organisation": organisation, "at": now, "until": ends_at})


@transaction.atomic
def end_impersonation(session: SessionRecord, *, by: User, why: str) -> None:
    """End the session's impersonation, and record why."""
    member, organisation = session.looks_as, Organisation.objects.filter(pk=session.looks_in_id).first()
    _store_in_session(session, looks_as=None, looks_in_id=None, looks_until=None)
    record("impersonation.ended", organisation, by=by, subject=member, after={"why": why})
    record("impersonation.ended", by=by, subject=member, after={"name": by.label})


def _store_in_session(session: SessionRecord, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(session, name, value)
    session.save(update_fields=list(fields))


def judge_impersonation(session: SessionRecord, by: User, *, now: datetime) -> tuple[Impersonation | None, str]:
    """Return the session's impersonation if it can continue, or else None and the reason why it ends."""
    if session.looks_until is None or session.looks_until <= now:
        return None, "its hour or its cause was over"
    member = User.objects.filter(pk=session.looks_as_id or 0, is_active=True, is_superuser=False).first()
    organisation = Organisation.objects.filter(pk=session.looks_in_id).first()
    if member is None or organisation is None or (organisation.is_suspended and not by.is_superuser):
        return None, "the member or the organisation is not there"
    if not Membership.objects.live(now).filter(user=member, organisation=organisation).exists():
        return None, "the member has left"
    if Permission.IMPERSONATE not in permissions_in(Caller.of(by), organisation):
        return None, "the right to it has ended"
    return Impersonation(by, member, organisation, session.looks_until), ""


def review_impersonations(*, now: datetime, of: User | None = None) -> None:
    """End every impersonation that cannot continue, or only those by and of one person.

    It stays ended, also if the member or the permission comes back. The next request of its session records the end.
    """
    sessions = SessionRecord.objects.open().filter(looks_until__gt=now)
    if of is not None:
        sessions = sessions.filter(Q(user=of) | Q(looks_as=of))
    for session in sessions.select_related("user").order_by("pk"):
        if judge_impersonation(session, session.user, now=now)[0] is None:
            unchanged = SessionRecord.objects.filter(pk=session.pk, looks_until=session.looks_until)
            unchanged.update(looks_until=now - IMPERSONATION_LASTS)


# -- The middleware -------------------------------------------------------------------------------


class Impersonating:
    """Serves pages as the member, read-only, while the session impersonates; stands behind the gate."""

    def __init__(self, get_response: Callable[[StudioRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: StudioRequest) -> HttpResponse:
        request.impersonation = None
        session = request.session_record
        if not request.user.is_authenticated or session is None or session.looks_until is None:
            return self.get_response(request)
        impersonation, why_not = judge_impersonation(session, request.user, now=timezone.now())
        if impersonation is None:
            end_impersonation(session, by=request.user, why=why_not)
            return self._send_back(request)
        request.impersonation = impersonation
        response = self.get_response(request)
        why = _("Read-only while you view Studio as %(name)s.") % {"name": impersonation.name}
        switch_off(response, why=why, is_served=is_own, is_closed=is_closed)
        return response

    def process_view(
        self, request: StudioRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Make the member ``request.user`` on pages behind the gate; refuse changes and personal pages."""
        impersonation = request.impersonation
        match = request.resolver_match
        if impersonation is None or match is None:
            return None
        is_safe = request.method in SAFE_METHODS
        if match.view_name in OWN_VIEWS or (match.view_name in OPEN_VIEWS and is_safe):
            if match.view_name == LOG_OUT and not is_safe:
                end_impersonation(request.session_record, by=request.user, why="logged out")
            return None
        put_member_in_place(request, impersonation)
        if is_personal(match) or request.path.startswith("/api/"):
            raise PermissionDenied(
                _("This page is closed while you view Studio as %(name)s.") % {"name": impersonation.name}
            )
        if not is_safe:
            text = _("You are viewing Studio as %(name)s, read-only. To change something, stop viewing first.")
            raise PermissionDenied(text % {"name": impersonation.name})
        return None

    def _send_back(self, request: StudioRequest) -> HttpResponse:
        """Redirect the first request after the end to the start page: the requested page was meant for the member."""
        messages.info(request, _("You are no longer viewing Studio as another person."))
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(status=403, headers={"HX-Redirect": reverse("start")})
        return redirect("start")


def is_personal(match: ResolverMatch) -> bool:
    return match.view_name in PERSONAL_VIEWS or not PERSONAL_ROOMS.isdisjoint(match.namespaces)


def is_own(address: str) -> bool:
    """Return whether a form to this address is the impersonator's own, and served."""
    match = _match_of(address)
    return match is not None and match.view_name in OWN_VIEWS


def is_closed(address: str) -> bool:
    """Return whether a link to this address would be refused to an impersonator, who cannot step up."""
    match = _match_of(address)
    return match is not None and (is_personal(match) or getattr(match.func, "requires_step_up", False))


def _match_of(address: str) -> ResolverMatch | None:
    try:
        return resolve(urlsplit(address).path)
    except (Resolver404, ValueError):
        return None


def put_member_in_place(request: StudioRequest, impersonation: Impersonation) -> None:
    """Set ``request.user`` to the member, for pages, and ``request.caller`` to the impersonator who views as them.

    No device of the member is loaded: the gate has checked the impersonator, and nothing here counts as their factor.
    Events of this request have both names; the context ends with the request.
    """
    member = impersonation.member
    request.caller = Caller.viewing_as(member, by=impersonation.by, below=impersonation.organisation)

    async def auser() -> User:
        return member

    request.user, request.auser = member, auser
    current.set(
        replace(current.get(), impersonator_id=impersonation.by.pk, impersonator_label=label_of(impersonation.by))
    )
