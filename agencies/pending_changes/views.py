"""The page of pending changes over everything that a person has access to."""

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from agencies.pending_changes.queries import all_within_reach, load
from environments.access import granted_to
from environments.requests import StudioRequest

PAGE_SIZE = 50


@require_safe
def list_pending_changes(request: StudioRequest) -> HttpResponse:
    """List what changes where and when, by whom, and how much it deletes; the soonest first."""
    page = Paginator(all_within_reach(request.caller), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = load(page, viewer=request.caller, granted=granted_to(request.caller))
    return render(request, "agencies/pending_changes/list.html", {"page": page, "rows": rows})
