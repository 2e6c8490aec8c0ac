"""Error responses: pages, or JSON below ``/api/``."""

import re
import sys
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from environments.access import RoleTooLow
from environments.access_requests.forms import AccessRequestForm
from environments.slugs import RESERVED_SLUGS
from studio.context import Shell, address
from studio.theme import theme_of

CODES = {400: "bad_request", 403: "permission_denied", 404: "not_found"}  # the codes of REST framework
SLUG = re.compile(r"[a-z0-9-]{1,63}")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, _("The request could not be understood."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403 with the reason of the ``PermissionDenied``; the page says itself that a role does not allow this."""
    reason = "" if isinstance(exception, RoleTooLow) else str(exception)
    return _answer(request, 403, _("Your role does not allow this."), reason=reason)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404, the same for addresses that do not exist and that are hidden from the viewer; no query."""
    return _answer(
        request, 404, _("Not found."), ask_address=_ask_address(request), ask_form=AccessRequestForm(auto_id="%s")
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500 with the theme and without context processors, which might be what failed.

    Answers 503 if the database does not answer: trying again will help.
    """
    if isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        return unavailable(request, _("The database does not answer."), code="unavailable", retry_seconds=30)
    if request.path.startswith("/api/"):
        return JsonResponse({"code": "error", "detail": _("Something went wrong on our side.")}, status=500)
    theme = theme_of(request)
    return HttpResponse(render_to_string("500.html", {"shell": {"theme": theme}}), status=500)


def unavailable(request: HttpRequest, reason: str, *, code: str, retry_seconds: int) -> HttpResponse:
    """Answer 503 with the reason and when to try again; no query."""
    headers = {"Retry-After": str(retry_seconds), "Cache-Control": "no-store"}
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": reason, "code": code}, status=503, headers=headers)
    page = render_to_string("503.html", {"shell": {"theme": theme_of(request)}, "reason": reason})
    return HttpResponse(page, status=503, headers=headers)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer 403 to a form whose token is missing or old; ``reason`` is in the log already.

    A browser that sent no cookie gets a page that says so: it could never send a valid form.
    """
    return render(request, "403_csrf.html" if request.COOKIES else "403_cookies.html", status=403)


def _ask_address(request: HttpRequest) -> str | None:
    """Return the address for requesting access to the environment that the path names, or None."""
    slug = request.path.split("/")[1]
    shell = Shell(request)
    if not shell.is_logged_in or shell.organisation or slug in RESERVED_SLUGS or not SLUG.fullmatch(slug):
        return None
    return address("environments:ask-access", slug)


def _answer(request: HttpRequest, status: int, detail: str, **context: Any) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse({"code": CODES[status], "detail": context.get("reason") or detail}, status=status)
    return render(request, f"{status}.html", context, status=status)
