"""The tree: every organisation that one reaches, and one of them with all below it."""

from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from environments.access import reachable
from environments.choices import Kind
from environments.effective import rows
from environments.filters import OrganisationFilterForm
from environments.requests import StudioRequest

PAGE_SIZE = 50


@require_safe
def list_organisations(request: StudioRequest) -> HttpResponse:
    """List every organisation that the viewer reaches, in the order of the tree."""
    form = OrganisationFilterForm(request.GET)
    found = reachable(request.user)
    if words := form.asked.get("q"):
        found = found.filter(Q(name__icontains=words) | Q(slug__icontains=words))
    if kind := form.asked.get("kind"):
        found = found.filter(kind=kind)
    page = Paginator(found.order_by("path"), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": rows(page, viewer=request.user),
        "form": form,
        "kinds": Kind.choices,
    }
    return render(request, "environments/organisations.html", context)
