"""Step-up: sensitive acts need a proof of presence that is not older than ten minutes."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.choices import STEP_UP_LASTS, OpenedBy
from accounts.gate import has_passed_factor, is_opened_by_sso, safe_next
from accounts.providers import step_up_button
from accounts.requests import SignInRequest

View = Callable[..., HttpResponse]


def is_stepped_up(request: SignInRequest) -> bool:
    """Tell whether the session saw a factor, a fresh SSO log-in, or password and mailed code in the last ten minutes.

    What a provider says counts while it can confirm who somebody is. A request without a session, such as one with an
    API key, never did; one of somebody who looks as another never counts: what asks for step-up is not theirs to do.
    """
    if getattr(request, "impersonation", None) is not None:
        return False
    session = getattr(request, "session_record", None)
    if session is None or not request.user.is_authenticated or session.stepped_up_at is None:
        return False
    if session.opened_by == OpenedBy.SSO and session.factor_at is None and not step_up_button(session.backend):
        return False
    return timezone.now() - session.stepped_up_at < STEP_UP_LASTS


def has_passed_mfa(request: SignInRequest) -> bool:
    """Tell whether the session passed a factor or came through a provider; password and mailed code are too little."""
    return has_passed_factor(request) or is_opened_by_sso(request)


def step_up_required(view: View) -> View:
    """Send a request whose session is not stepped up to the page that asks, and back to where it came from."""

    @wraps(view)
    def guarded(request: SignInRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, *args, **kwargs) if is_stepped_up(request) else ask_to_step_up(request)

    return guarded


def ask_to_step_up(request: SignInRequest) -> HttpResponse:
    """Answer a sensitive request whose session is not stepped up: the way to the page, or JSON below ``/api/``."""
    if request.path.startswith("/api/"):
        detail = _("Confirm who you are first: this needs a factor passed in the last ten minutes.")
        return JsonResponse({"detail": detail, "code": "step_up_required"}, status=403)
    address = f"{reverse('accounts:step-up')}?{urlencode({'next': _page_of(request)}, safe='/')}"
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=403, headers={"HX-Redirect": address})
    return redirect(address)


def _page_of(request: SignInRequest) -> str:
    """Return the page to go back to: what was typed into a form cannot be kept, so its page is shown again."""
    if request.headers.get("HX-Request") == "true":
        return safe_next(request, request.headers.get("HX-Current-URL", ""))
    if request.method in {"GET", "HEAD"}:
        return request.get_full_path()
    came_from = safe_next(request, request.headers.get("Referer", ""))
    parts = urlsplit(came_from)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
