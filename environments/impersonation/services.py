"""Impersonation: an Administrator views their organisation as one of its members sees it, and changes nothing.

The session stays the impersonator's. The guard and the gate judge the impersonator at every request, before anything
here runs; only then is the member put in their place, for pages behind the door alone. ``request.caller`` then has only
the permissions that both have, below the organisation where the impersonation began. The state stands in the session's
record, so a request of anybody else costs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
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
from environments.models import Membership, Organisation
from environments.requests import StudioRequest

LASTS = timedelta(hours=1)
STOP, LOG_OUT = "environments:stop-impersonation", "accounts:logout"
# Answered as the impersonator, also where they change something: all of it is their own.
OWN_VIEWS: Final = frozenset({STOP, LOG_OUT, "set_language", "studio:theme"})
PERSONAL_ROOMS: Final = frozenset({"accounts", "social", "otp_webauthn"})  # a new page of theirs is closed, too
PERSONAL_VIEWS: Final = frozenset({"environments:api-keys", "environments:revoke-api-key", "environments:ask-access"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Impersonation:
    """Whom a request views Studio as, for the notice in the title bar."""

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


# -- Who can impersonate whom, and what is recorded --------------------------------------------------


def refusal(by: Caller, membership: Membership) -> str:
    """Return why ``by`` cannot impersonate the member, in a sentence; empty if they can."""
    member = membership.user
    if by.user == member:
        return _("You are this member already.")
    if member.is_superuser:
        return _("Nobody looks as a super user.")
    if by.kind == CallerKind.IMPERSONATOR:
        return _("Stop looking as somebody first.")
    if not membership.is_live(timezone.now()) or not member.is_active:
        return _("This member has no access at the moment.")
    if Permission.IMPERSONATE not in permissions_in(by, membership.organisation):
        return _("Only an Administrator can impersonate a member.")
    return ""


@transaction.atomic
def begin(request: StudioRequest, membership: Membership, *, now: datetime) -> None:
    """Let the session's user view Studio as the member for an hour; the view has asked for step-up.

    The member is mailed and sees it among their security events. Raises ``PermissionDenied``.
    """
    member, organisation = membership.user, membership.organisation
    lock_to_act(member, is_fresh=True)  # and whoever acts: neither loses what it rests on meanwhile
    if why_not := refusal(request.caller, membership):
        raise PermissionDenied(why_not)
    by = request.caller.require_person()
    ends_at = now + LASTS
    _keep(request.session_record, looks_as=member, looks_in_id=organisation.pk, looks_until=ends_at)
    told = {"until": ends_at}
    record("impersonation.begun", organisation, by=by, subject=member, after=told)
    record("impersonation.begun", by=by, subject=member, after={"name": by.label, **told})
    mail.send(member, "impersonated", {"by": by.label, "organisation": organisation, "at": now, "until": ends_at})


@transaction.atomic
def end(session: SessionRecord, *, by: User, why: str) -> None:
    """End the session's impersonation, and record why."""
    member, place = session.looks_as, Organisation.objects.filter(pk=session.looks_in_id).first()
    _keep(session, looks_as=None, looks_in_id=None, looks_until=None)
    record("impersonation.ended", place, by=by, subject=member, after={"why": why})
    record("impersonation.ended", by=by, subject=member, after={"name": by.label})


def _keep(session: SessionRecord, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(session, name, value)
    session.save(update_fields=list(fields))


def judge(session: SessionRecord, by: User, *, now: datetime) -> tuple[Impersonation | None, str]:
    """Judge again whether the session's impersonation can continue: return it, or why it ends."""
    if session.looks_until is None or session.looks_until <= now:
        return None, "its hour or its cause was over"
    member = User.objects.filter(pk=session.looks_as_id or 0, is_active=True, is_superuser=False).first()
    place = Organisation.objects.filter(pk=session.looks_in_id).first()
    if member is None or place is None or (place.is_suspended and not by.is_superuser):
        return None, "the member or the organisation is not there"
    if not Membership.objects.live(now).filter(user=member, organisation=place).exists():
        return None, "the member has left"
    if Permission.IMPERSONATE not in permissions_in(Caller.of(by), place):
        return None, "the right to it has ended"
    return Impersonation(by, member, place, session.looks_until), ""


def review_all(*, now: datetime, of: User | None = None) -> None:
    """End every impersonation that cannot continue, or those by and of one person; none comes back with its cause.

    The next request of its session records the end.
    """
    found = SessionRecord.objects.open().filter(looks_until__gt=now)
    if of is not None:
        found = found.filter(Q(user=of) | Q(looks_as=of))
    for session in found.select_related("user").order_by("pk"):
        if judge(session, session.user, now=now)[0] is None:
            unchanged = SessionRecord.objects.filter(pk=session.pk, looks_until=session.looks_until)
            unchanged.update(looks_until=now - LASTS)


# -- The middleware -------------------------------------------------------------------------------


class Impersonating:
    """Stands behind the gate: puts the member in the impersonator's place, and refuses whatever changes something."""

    def __init__(self, get_response: Callable[[StudioRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: StudioRequest) -> HttpResponse:
        request.impersonation = None
        session = request.session_record
        if not request.user.is_authenticated or session is None or session.looks_until is None:
            return self.get_response(request)
        found, why_not = judge(session, request.user, now=timezone.now())
        if found is None:
            end(session, by=request.user, why=why_not)
            return self._send_back(request)
        request.impersonation = found
        return self.get_response(request)

    def process_view(
        self, request: StudioRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Put the member in place for pages behind the door; refuse what changes something, and what is personal."""
        found = request.impersonation
        match = request.resolver_match
        if found is None or match is None:
            return None
        is_safe = request.method in SAFE_METHODS
        if match.view_name in OWN_VIEWS or (match.view_name in OPEN_VIEWS and is_safe):
            if match.view_name == LOG_OUT and not is_safe:
                end(request.session_record, by=request.user, why="logged out")
            return None
        put_in_place(request, found)
        is_personal = match.view_name in PERSONAL_VIEWS or not PERSONAL_ROOMS.isdisjoint(match.namespaces)
        if is_personal or request.path.startswith("/api/"):
            raise PermissionDenied(_("This page is closed while you view Studio as %(name)s.") % {"name": found.name})
        if not is_safe:
            text = _("You are viewing Studio as %(name)s, read-only. To change something, stop viewing first.")
            raise PermissionDenied(text % {"name": found.name})
        return None

    def _send_back(self, request: StudioRequest) -> HttpResponse:
        """Answer the first request after the end, but not with the page asked for, which was meant for the member."""
        messages.info(request, _("You are no longer viewing Studio as another person."))
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(status=403, headers={"HX-Redirect": reverse("start")})
        return redirect("start")


def put_in_place(request: StudioRequest, found: Impersonation) -> None:
    """Make the member the request's user, as pages show them, and the impersonator in their place its caller.

    No device of the member is loaded: the gate has judged the impersonator, and nothing here counts as their factor.
    Events of this request carry both names; the context ends with the request.
    """
    member = found.member
    request.caller = Caller.viewing_as(member, by=found.by, below=found.organisation)

    async def auser() -> User:
        return member

    request.user, request.auser = member, auser
    current.set(replace(current.get(), impersonator_id=found.by.pk, impersonator_label=label_of(found.by)))
