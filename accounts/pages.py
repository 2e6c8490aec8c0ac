"""Shared by the pages of this room: redirects on this host, and rendering a page with a form."""

from collections.abc import Mapping

from django.forms import Form
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url

from accounts import providers
from accounts.gate import safe_next
from accounts.models import User
from accounts.requests import LogInRequest
from accounts.requirement import requirers

MOST_NAMED = 5
KNOWN_EMAIL = "studio_known_email"  # session key of the address that the log-in page fills in


def go_to(request: LogInRequest, address: str) -> HttpResponse:
    """Redirect to ``address`` if it is on this host, else to the start page."""
    return HttpResponseRedirect(safe_next(request, address) or resolve_url("/"))


def next_of(request: LogInRequest) -> str:
    return safe_next(request, request.POST.get("next", "") or request.GET.get("next", ""))


def answer(
    request: LogInRequest, template: str, context: Mapping[str, object], *forms: Form, status: int = 200
) -> HttpResponse:
    """Render a log-in page; its status is 429 when an error of a form is "too_many_tries"."""
    codes = {error.code for form in forms for errors in form.errors.as_data().values() for error in errors}
    response = render(request, template, context, status=429 if "too_many_tries" in codes else status)
    # Browsers hold the redirect to a provider against the page that the form stands on.
    setattr(response, "_csp_update", {"form-action": providers.form_targets()})  # noqa: B010 - django-csp reads it
    return response


def fill_in_at_log_in(request: LogInRequest, email: str) -> None:
    """Let the log-in page fill in this address, until somebody logs in: a link mailed to it was opened here."""
    if not request.user.is_authenticated:
        request.session[KNOWN_EMAIL] = email


def hide_address(response: HttpResponse) -> HttpResponse:
    """Keep the address of this page, which holds a token, out of the Referer of what it loads or links to.

    Not by ``no-referrer``: browsers then send its form with the origin "null", which Django takes for forged.
    """
    response.headers["Referrer-Policy"] = "strict-origin"
    return response


def why_asked(user: User) -> dict[str, object]:
    """Return the template context that says who requires a factor of ``user``: environments, by name."""
    named = list(requirers(user)[: MOST_NAMED + 1])
    more = requirers(user).count() - MOST_NAMED if len(named) > MOST_NAMED else 0
    return {"requirers": named[:MOST_NAMED], "more_requirers": more, "is_super_user": user.is_superuser}
