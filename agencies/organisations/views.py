"""Pages that move, suspend and resume an organisation."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.stepup import step_up_required
from agencies.organisations import services
from agencies.organisations.forms import MoveForm
from agencies.organisations.queries import Move, places_for, what_closes, what_moves
from archival.models import PolicyChange
from archival.policy.forms import TypedNameForm
from environments.access import RoleTooLow, in_organisation
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.clock import database_now
from web.methods import require_safe_or_post
from web.versions import version_of


@require_safe_or_post
@in_organisation(requires=Permission.CREATE)
@step_up_required
def move(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Choose where the organisation is moved, show what that changes below it, and on POST move it."""
    require_above(request, Permission.CREATE)
    data = request.POST or (request.GET if {"to", "to_root"} & request.GET.keys() else None)
    form = MoveForm(data or None, caller=request.caller, kind=organisation.kind)
    typed = TypedNameForm(request.POST if "typed_name" in request.POST else None, name=organisation.name)
    effects: Move | None = None
    if form.is_valid():
        try:
            if request.method == "POST" and (typed.is_valid() or not typed.is_bound):
                return _move(request, organisation, form.place)
            services.check_can_move(organisation, to=form.place, by=request.caller)
        except ValidationError as error:
            form.add_error("to", error.messages)
        if request.method == "POST" or not form.errors:
            effects = _effects(organisation, form)
    context = {
        "organisation": organisation,
        "form": form,
        "effects": effects,
        "typed": typed if effects and effects.deletes_at_once else None,
        "place": getattr(form, "place", None),
        "places": places_for(request.access),
        "parent": request.access.above[-1] if request.access.above else None,
        "seen": version_of(organisation.parent_path),
    }
    return render(request, "agencies/organisations/move.html", context)


def _move(request: StudioRequest, organisation: Organisation, place: Organisation | None) -> HttpResponse:
    shown, seen = request.POST.get("shown"), request.POST.get("seen")
    change = services.move(
        organisation,
        to=place,
        by=request.caller,
        now=database_now(),
        shown=shown,
        seen=seen,
        typed_name=request.POST.get("typed_name"),
    )
    messages.success(request, _moved(organisation, place, change))
    return redirect("environments:organisation", organisation.slug)


def _moved(organisation: Organisation, place: Organisation | None, change: PolicyChange | None) -> str:
    if place is None:
        return _("%(name)s is at the top of the tree now.") % {"name": organisation.name}
    names = {"name": organisation.name, "place": place.name}
    if change is None:
        return _("%(name)s is below %(place)s now.") % names
    at = date_format(timezone.localtime(change.acts_at), _("j M Y, H:i"))
    return _("%(name)s moves below %(place)s on %(at)s. Until then it stays, and the move can be cancelled.") % {
        **names,
        "at": at,
    }


def _effects(organisation: Organisation, form: MoveForm) -> Move | None:
    """Return what the move changes; None, with an error in the form, if it cannot be counted or made."""
    try:
        return what_moves(organisation, form.place, now=database_now())
    except ValidationError as error:
        form.add_error("to", error)
        return None


@require_safe_or_post
@in_organisation(requires=Permission.DELETE)
@step_up_required
def suspend(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Ask whether to suspend the organisation, and say how much that closes; on POST suspend it."""
    require_above(request, Permission.DELETE)
    if request.method != "POST":
        context = {"organisation": organisation, "closing": what_closes(organisation)}
        return render(request, "agencies/organisations/suspend.html", context)
    services.suspend(organisation, by=request.caller, now=timezone.now())
    messages.success(request, _("%(name)s is suspended.") % {"name": organisation.name})
    above = request.access.visible_above
    return redirect("environments:organisation", above[-1].slug) if above else redirect("environments:organisations")


@require_POST
@in_organisation(requires=Permission.DELETE)
@step_up_required
def resume(request: StudioRequest, organisation: Organisation, pk: int) -> HttpResponse:
    """Resume a suspended organisation below this one: its own pages are closed."""
    found = get_object_or_404(Organisation.objects.below(organisation), pk=pk)
    try:
        services.resume(found, by=request.caller, now=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("%(name)s is open again.") % {"name": found.name})
    return redirect("environments:organisation", organisation.slug)


def require_above(request: StudioRequest, permission: Permission) -> None:
    """Raise ``PermissionDenied`` unless the viewer has the permission right above the organisation."""
    if permission not in request.access.permissions_above:
        raise RoleTooLow
