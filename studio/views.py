"""Probes, metrics, the switcher and the choice of a theme."""

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.functional import Promise
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from archival.evidence import metrics
from archival.restore.readiness import readiness
from environments.requests import StudioRequest
from studio import switcher
from studio.finding import find_others
from studio.forms import FindEnvironmentForm
from studio.theme import store_theme
from web.clock import ClockDiffers, agreed_now
from web.typed import without_nul


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 when the web is up; no query."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 when pages can be served, else 503 with the reason: no database, a backup, or a wrong clock."""
    try:
        agreed_now()
    except DatabaseError:
        reason: str | Promise = _("The database does not answer.")
    except ClockDiffers as error:
        reason = str(error)
    else:
        reason = readiness.reason_not_ready()
    status = 503 if reason else 200
    return HttpResponse(f"{reason or 'ok'}\n", content_type="text/plain; charset=utf-8", status=status)


@require_safe
def show_metrics(request: HttpRequest) -> HttpResponse:
    """Answer monitoring that sends the token; 404 without a token in the settings."""
    if not settings.METRICS_TOKEN:
        raise Http404
    given = request.headers.get("Authorization", "")
    if not constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}"):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(metrics.exposition(), content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Store the theme in a cookie of this browser, and redirect to the page where it was chosen."""
    after = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(after, {request.get_host()}, require_https=request.is_secure()):
        after = "/"
    response = HttpResponseRedirect(after)
    store_theme(response, request.POST.get("theme", ""))
    return response


def path_before(request: StudioRequest) -> str:
    """Return the path of the page that the switcher was opened on; empty if the browser sends no valid URL.

    Without script the address of the switcher has it as ``from``. Nothing is redirected to it.
    """
    try:
        return without_nul(request.htmx.current_url_abs_path or request.GET.get("from", ""))
    except ValueError:  # not a URL
        return ""


@require_safe
@login_required
def switch(request: StudioRequest) -> HttpResponse:
    """List or search the viewer's environments, and search people and ids; a search with one result redirects to it."""
    form = FindEnvironmentForm(request.GET)
    words = form.asked.get("q", "")
    paginator = Paginator(switcher.search_environments(request.caller, words), switcher.PAGE_SIZE)
    page = paginator.get_page(request.GET.get("page"))
    before = path_before(request).partition("?")[0]
    current = before.removeprefix("/").partition("/")[0]
    destination = switcher.Destination(request.caller, before)
    groups = switcher.group_environments(request.caller, page, current=current, destination=destination)
    if words and page.number == 1:
        groups += find_others(request.caller, words, current=current, now=timezone.now())
    found = [choice for group in groups for choice in group.choices]
    if words and len(found) == 1 and not request.htmx:
        return redirect(found[0].address)
    if not words and page.number == 1 and paginator.count >= switcher.MANY:
        latest = switcher.recent_environments(request.caller, current=current, destination=destination)
        groups = [latest, *groups] if latest else groups
    template = "studio/switch.html" + ("#list" if request.htmx else "")
    context = {"page": page, "groups": groups, "form": form, "words": words, "before": before}
    return render(request, template, context)
