"""The page that resets a member's second factors."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.stepup import ask_to_step_up, is_stepped_up
from environments.access import in_organisation
from environments.choices import Permission
from environments.lost_device import services as lost_device
from environments.lost_device.forms import ResetFactorsForm
from environments.models import Membership, Organisation
from environments.requests import StudioRequest
from web.methods import require_safe_or_post


@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_MEMBERS)
def reset_factors(request: StudioRequest, organisation: Organisation, pk: int) -> HttpResponse:
    """Show what is removed, and remove it when the member's e-mail address is typed; or show who can do it."""
    memberships = Membership.objects.live().select_related("user")
    membership = get_object_or_404(memberships, organisation=organisation, pk=pk)
    user = membership.user
    context = {"organisation": organisation, "membership": membership}
    if why_not := lost_device.obstacle_to_reset(request.caller, user):
        if request.method == "POST":
            raise PermissionDenied(why_not)
        return render(request, "environments/lost_device/reset_factors.html", {**context, "why_not": why_not})
    if not is_stepped_up(request):
        return ask_to_step_up(request)
    form = ResetFactorsForm(request.POST or None, email=user.email)
    if form.is_valid():
        lost_device.reset_factors(user, by=request.caller, now=timezone.now())
        messages.success(
            request,
            _("The second factors of %(name)s were reset. They set up a new one at their next log-in.")
            % {"name": user.label},
        )
        return redirect("environments:member", organisation.slug, pk)
    context |= {"form": form, "losses": lost_device.losses_of(user)}
    return render(request, "environments/lost_device/reset_factors.html", context)
