"""Middleware around every request."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware
from django.urls import resolve
from django.utils import translation

from archival.restore.readiness import readiness
from environments.choices import Kind
from environments.requests import StudioRequest
from studio import switcher
from studio.errors import unavailable


class HeldBack:
    """Answers 503 to every request until ``reapply_purges`` has run after a restore; comes before all that reads data.

    Also answers the probes of a load balancer, so that they reach no middleware that queries the database.
    """

    OPEN = frozenset({"/healthz", "/readyz"})

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path in self.OPEN:
            request.resolver_match = match = resolve(request.path)
            with translation.override(translation.get_language_from_request(request)):
                return match.func(request)
        if not (reason := readiness.reason_not_ready()):
            return self.get_response(request)
        with translation.override(translation.get_language_from_request(request)):
            return unavailable(request, str(reason), code="not_ready", retry_seconds=60)


class Slashes(CommonMiddleware):
    """Redirects GET and HEAD to the address with a closing slash; other methods are served as if they had it.

    A redirect would turn a POST into a GET, and lose its body.
    """

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        if request.method not in {"GET", "HEAD"} and self.should_redirect_with_slash(request):
            request.path += "/"
            request.path_info += "/"
        return super().process_request(request)


class RecentEnvironments:
    """Stores which environments each person opened last, for the switcher."""

    def __init__(self, get_response: Callable[[StudioRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: StudioRequest) -> HttpResponse:
        response = self.get_response(request)
        organisation = getattr(request, "organisation", None)
        opened = request.method == "GET" and response.status_code == 200
        is_themselves = request.user.is_authenticated and getattr(request, "impersonation", None) is None
        if opened and organisation and organisation.kind == Kind.ENVIRONMENT and is_themselves:
            switcher.remember_environment(request.user, request.session, organisation)
        return response
