"""What the frame does around every request."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import translation

from archival.readiness import readiness
from environments.choices import Kind
from studio import switcher
from studio.theme import theme_of


class HeldBack:
    """Serves nothing but that it serves nothing yet, until the data may be seen; stands before all that reads it."""

    OPEN = frozenset({"/healthz", "/readyz"})

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path in self.OPEN or not (reason := readiness.reason_not_to()):
            return self.get_response(request)
        headers = {"Retry-After": "60", "Cache-Control": "no-store"}
        with translation.override(translation.get_language_from_request(request)):
            if request.path.startswith("/api/"):
                return JsonResponse({"detail": str(reason), "code": "not_ready"}, status=503, headers=headers)
            page = render_to_string("503.html", {"shell": {"theme": theme_of(request)}, "reason": reason})
            return HttpResponse(page, status=503, headers=headers)


class RecentEnvironments:
    """Remembers which environments somebody opened last, for the switcher."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        organisation = getattr(request, "organisation", None)
        opened = request.method == "GET" and response.status_code == 200
        is_himself = request.user.is_authenticated and getattr(request, "impersonation", None) is None
        if opened and organisation and organisation.kind == Kind.ENVIRONMENT and is_himself:
            switcher.remember(request.session, organisation.slug)
        return response
