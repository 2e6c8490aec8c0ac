"""Pages of the tree: the list of all organisations of the viewer, and one organisation with what is below it."""

from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from environments.access import RoleTooLow, all_reachable, in_organisation
from environments.choices import Permission
from environments.models import Organisation
from environments.policies.effective import organisation_rows, row_here
from environments.requests import StudioRequest
from environments.roster import member_counts
from environments.tree.forms import FindOrganisationForm, NameForm, OrganisationFilterForm
from environments.tree.queries import search_tree, suspended_below, tree_around
from environments.tree.settings_views import save_name
from web.methods import require_safe_or_post
from web.paging import page_of

PAGE_SIZE = 50


@require_safe
def list_organisations(request: StudioRequest) -> HttpResponse:
    """List every organisation that the viewer has access to, in the order of the tree."""
    form = OrganisationFilterForm(request.GET)
    organisations = all_reachable(request.caller)
    if words := form.asked.get("q"):
        organisations = organisations.filter(Q(name__icontains=words) | Q(slug__icontains=words))
    if kind := form.asked.get("kind"):
        organisations = organisations.filter(kind=kind)
    page = page_of(organisations.order_by("path"), request.GET.get("page"), size=PAGE_SIZE)
    context = {
        "page": page,
        "rows": organisation_rows(page, viewer=request.caller),
        "form": form,
    }
    return render(request, "environments/tree/organisations.html", context)


@require_safe_or_post
@in_organisation()
def organisation_page(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show the tree around an organisation with a panel about it, and rename it."""
    do = request.POST.get("do")
    rename = NameForm(request.POST if do == "rename" else None, initial={"name": organisation.name})
    if do == "rename":
        _require(request, Permission.CHANGE_SETTINGS)
        if save_name(request, organisation, rename, view="environments:organisation"):
            return redirect("environments:organisation", organisation.slug)
    return render(request, "environments/tree/organisation.html", _panel(request, organisation, rename))


def _panel(request: StudioRequest, organisation: Organisation, rename: NameForm) -> dict[str, Any]:
    find = FindOrganisationForm(request.GET)
    words = find.asked.get("q")
    tree = search_tree(words, request.access) if words else tree_around(request.access)
    can_count = Permission.MANAGE_MEMBERS in request.permissions
    own_count, above_count = member_counts(organisation) if can_count else (None, None)
    can_resume = Permission.DELETE in request.permissions
    return {
        "organisation": organisation,
        "tree": tree,
        "find": find,
        "panel": row_here(request.access),
        "own_count": own_count,
        "above_count": above_count,
        "rename": rename if Permission.CHANGE_SETTINGS in request.permissions else None,
        "can_create": Permission.CREATE in request.permissions and not organisation.is_environment,
        "permissions_above": request.access.permissions_above,
        "suspended": suspended_below(tree, organisation) if can_resume else [],
    }


def _require(request: StudioRequest, permission: Permission) -> None:
    if permission not in request.permissions:
        raise RoleTooLow
