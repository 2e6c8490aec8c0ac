"""Step-up: sensitive acts require that the user confirmed their identity in the last ten minutes."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.gate import (
    become_anonymous,
    has_credentials_for_rest,
    has_passed_factor,
    is_opened_by_sso,
    page_of,
    refuse_session,
)
from accounts.interrupted import keep
from accounts.requests import LogInRequest
from accounts.standing import SessionOver, Standing, StepUpOver, acting, is_fresh_now

View = Callable[..., HttpResponse]


def is_stepped_up(request: LogInRequest) -> bool:
    """Return whether a factor, fresh SSO log-in, or password and mailed code was given in the last ten minutes.

    SSO counts only through a provider that can step up. Requests without a session, such as with an API key, and
    requests of somebody who impersonates another never count.
    """
    if getattr(request, "impersonation", None) is not None:
        return False
    session = getattr(request, "session_record", None)
    return session is not None and request.user.is_authenticated and is_fresh_now(session)


def has_passed_mfa(request: LogInRequest) -> bool:
    """Return whether the session passed a factor or was opened by SSO; password and mailed code do not count."""
    return has_passed_factor(request) or is_opened_by_sso(request)


def step_up_required(view: View) -> View:
    """Decorator: redirect a session that is not stepped up to the step-up page, and back afterwards.

    Marks the view with ``requires_step_up``, which other decorators keep, for who asks about an address.
    """

    @wraps(view)
    def guarded(request: LogInRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, *args, **kwargs) if is_stepped_up(request) else ask_to_step_up(request)

    guarded.requires_step_up = True  # type: ignore[attr-defined]  # a mark on the function
    return guarded


def ask_to_step_up(request: LogInRequest) -> HttpResponse:
    """Return the response when step-up is missing: a redirect to the step-up page, or JSON below ``/api/``.

    After it, what the request submits is sent again.
    """
    if request.path.startswith("/api/"):
        detail = _("Confirm your identity first: this requires a factor passed in the last ten minutes.")
        return JsonResponse({"detail": detail, "code": "step_up_required"}, status=403)
    page = page_of(request)
    submission = keep(request, request.session_record.user_id, page=page)
    after = reverse("accounts:go-on", args=[submission.key]) if submission else page
    address = f"{reverse('accounts:step-up')}?{urlencode({'next': after}, safe='/')}"
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=403, headers={"HX-Redirect": address})
    return redirect(address)


class Acting:
    """Middleware right after the gate: keeps the request's ``Standing`` for acts that check it again under a lock.

    Answers an act whose session has ended like a request that came after the end.
    """

    def __init__(self, get_response: Callable[[LogInRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: LogInRequest) -> HttpResponse:
        token = acting.set(None)
        try:
            return self.get_response(request)
        finally:
            acting.reset(token)

    def process_view(self, request: LogInRequest, view: Callable[..., Any], args: Any, kwargs: Any) -> None:
        if has_credentials_for_rest(request, view):
            return
        if request.held:
            acting.set(Standing.of(request.held.user, request.held.session))
        elif request.user.is_authenticated:
            acting.set(Standing.of(request.user, request.session_record, is_let_in=True))

    def process_exception(self, request: LogInRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, StepUpOver):
            return ask_to_step_up(request)
        if not isinstance(error, SessionOver):
            return None
        request.held, request.session_ended_of = None, request.session_record.user_id
        become_anonymous(request)
        return refuse_session(request)
