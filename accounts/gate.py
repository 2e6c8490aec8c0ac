"""The gate in front of every view: closed unless the session is good enough or ``OPEN_VIEWS`` names the view.

A session that is not good enough (yet) is anonymous to everything behind the gate, error pages included.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from rest_framework.views import APIView

from accounts.choices import RECOVERY, Decision, OpenedBy
from accounts.interrupted import keep
from accounts.models import SessionRecord, User
from accounts.providers import behind, is_trusted_with, trusted_backends
from accounts.requests import LogInRequest
from accounts.requirement import mfa_required

# What answers without a session that is good enough: why, and what protects it. docs/security.md shows it.
OPEN_VIEWS: Final[Mapping[str, str]] = {
    "healthz": "for load balancers; answers ok without a database query",
    "readyz": "for load balancers; says whether pages can be served, and why not, without a name",
    "metrics": "figures without names, for monitoring; requires the token of the settings, and is 404 without one",
    "receipts-public-key": "the public key with which anybody can check a receipt",
    "set_language": "log-in pages have a language too; sets a cookie, by POST",
    "studio:theme": "log-in pages have a theme too; sets a cookie, by POST",
    "accounts:login": "the log-in page; tries are limited for each account and address, one error for every wrong pair",
    "accounts:organisation-log-in": "redirects to an organisation's provider by the domain of an address alone",
    "accounts:verify": "asks for the factor; without a pending log-in or session it redirects to the log-in page",
    "accounts:enrol": "sets up a first factor; requires a mailed code first",
    "accounts:logout": "ends a session or a pending log-in; by POST, with the form's token",
    "accounts:reset-password": "mails a link for a new password; one response for all addresses, limited by caller",
    "accounts:reset-password-sent": "says the same whether a mail was sent or not",
    "accounts:set-password": "requires the mailed link, which works once; ends every session and opens none",
    "accounts:dev-mailbox": "the mailbox of a development server; 404 elsewhere",
    "accounts:dev-mail": "one of its mails; 404 elsewhere",
    "accounts:dev-mail-html": "its HTML, in a frame that cannot run scripts; 404 elsewhere",
    "environments:invitation": "requires the mailed link; creates an account or a membership, and opens no session",
    "environments:invitation-link": "requires the link; mails an invitation, one response for all addresses, limited",
    "environments:invitation-link-sent": "says the same whether an invitation was mailed or not",
    "environments:join": "mails a link to people of a verified domain; one response for all, limited by address",
    "environments:join-sent": "says the same whether a link was sent or not",
    "otp_webauthn:credential-registration-begin": "a first passkey requires a mailed code, a further one step-up",
    "otp_webauthn:credential-registration-complete": "the same, and the challenge of this session",
    "otp_webauthn:credential-authentication-begin": "returns a challenge; does not reveal who has passkeys",
    "otp_webauthn:credential-authentication-offer": "returns a challenge to visitors; 204 where a user is known",
    "otp_webauthn:credential-authentication-complete": "logs in by passkey; alone only if it verified its user",
    "otp_webauthn:js-i18n-catalog": "texts of the passkeys' script; the same for everybody",
    "social:begin": "redirects to a provider, by POST; discards earlier attempts",
    "social:complete": "receives the provider's answer; it must belong to this browser and works once",
}
LONGEST_NEXT = 2_000  # characters of an address to go on to: it is kept in the session
NEXT_PAGES = {Decision.VERIFY: "accounts:verify", Decision.ENROL: "accounts:enrol"}


@dataclass(frozen=True)
class Held:
    """A user whose session is not good enough, and what they must do next."""

    user: User
    decision: Decision
    session: SessionRecord


def decide(request: LogInRequest) -> Decision:
    """Return what the session of ``request.user`` needs; decided again at each request.

    Expects a user who is authenticated, and ``request.session_record`` as the session guard found it.
    """
    user, session = request.user, request.session_record
    if is_opened_by_sso(request) and (session.is_provider_proof or not user.is_superuser):
        return Decision.LET_IN
    if has_passed_factor(request):
        return Decision.LET_IN
    if session.opened_by == OpenedBy.SSO and factors_of(request):
        return Decision.VERIFY  # as after a password: a provider that is not trusted with them replaces no factor
    if not mfa_required(user):
        return Decision.LET_IN
    return Decision.VERIFY if factors_of(request) else Decision.ENROL


def is_opened_by_sso(request: LogInRequest) -> bool:
    """Return whether a provider that is trusted with the user opened the session and its pipeline was completed."""
    session = request.session_record
    if (
        session.opened_by != OpenedBy.SSO
        or session.backend not in trusted_backends()
        or session.backend != request.session.get("_auth_user_backend")
    ):
        return False
    provider = behind(session.backend, session.basis)
    return provider is not None and is_trusted_with(provider, session.user_id)


def has_passed_factor(request: LogInRequest) -> bool:
    """Return whether this session passed a factor with a device that still exists.

    A recovery code counts as long as the user has a device.
    """
    session, factors = request.session_record, factors_of(request)
    if session.factor_at is None:
        return False
    return bool(factors) if session.factor == RECOVERY else session.factor in factors


def factors_of(request: LogInRequest) -> Sequence[str]:
    """Return the ids of the user's apps and passkeys, which the guard loaded; no query.

    A member who is impersonated has none: the session is not theirs.
    """
    session = request.session_record
    return session.factors if session.user_id == request.user.pk else ()


class Gate:
    """Middleware after ``SessionGuard`` and before everything that reads ``request.user``."""

    def __init__(self, get_response: Callable[[LogInRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: LogInRequest) -> HttpResponse:
        request.held = None
        if request.user.is_authenticated:
            decision = decide(request)
            if decision != Decision.LET_IN:
                request.held = Held(request.user, decision, request.session_record)
                become_anonymous(request)
        response = self.get_response(request)
        if request.held or request.user.is_authenticated:
            response.headers.setdefault("Cache-Control", "no-store, private")
        return response

    def process_view(
        self, request: LogInRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        match = request.resolver_match
        if match and match.view_name in OPEN_VIEWS:
            return None
        if has_credentials_for_rest(request, view):
            become_anonymous(request)  # the key alone counts: a cookie cannot ride along
            return None
        return None if request.user.is_authenticated else refuse_session(request)


def become_anonymous(request: LogInRequest) -> None:
    """Make ``request.user`` anonymous for everything after the gate."""
    visitor = AnonymousUser()

    async def auser() -> Any:
        return visitor

    request.user, request.auser = visitor, auser


def has_credentials_for_rest(request: LogInRequest, view: Callable[..., Any]) -> bool:
    """Return whether the REST framework authenticates the request itself, by an API key."""
    if not request.path.startswith("/api/") or "Authorization" not in request.headers:
        return False
    view_class = getattr(view, "cls", None)
    return isinstance(view_class, type) and issubclass(view_class, APIView)


def refuse_session(request: LogInRequest) -> HttpResponse:
    """Refuse a request: JSON below ``/api/``, else a redirect to the page that asks for what is missing."""
    held = request.held
    if request.path.startswith("/api/"):
        if held:
            detail = _("This session needs a second factor.")
            return JsonResponse({"detail": detail, "code": "mfa_required"}, status=403)
        detail = _("Log in, or send an API key.")
        refusal = JsonResponse({"detail": detail, "code": "not_authenticated"}, status=401)
        refusal["WWW-Authenticate"] = 'Bearer realm="api"'
        return refusal
    address = reverse(NEXT_PAGES[held.decision] if held else "accounts:login")
    after = "" if request.path == "/" else page_of(request)
    keep(request, held.user.pk if held else request.session_ended_of, page=after)
    if after:
        address = f"{address}?{urlencode({'next': after}, safe='/')}"
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=403 if held else 401, headers={"HX-Redirect": address})
    return redirect(address)


def page_of(request: LogInRequest) -> str:
    """Return the page to continue at: the requested one, or the one that a form or a fragment belongs to."""
    is_fragment = request.headers.get("HX-Request") == "true"
    if request.method in {"GET", "HEAD"} and not is_fragment:
        return safe_next(request, request.get_full_path())
    came_from = request.headers.get("HX-Current-URL" if is_fragment else "Referer", "")
    parts = urlsplit(safe_next(request, getattr(request, "came_from", None) or came_from))
    return safe_next(request, f"{parts.path}?{parts.query}" if parts.query else parts.path)


def safe_next(request: LogInRequest, address: str) -> str:
    """Return ``address`` if it is on this host, no name of a view, and not too long, else an empty string."""
    own = url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure())
    return address if own and "/" in address and len(address) <= LONGEST_NEXT else ""
