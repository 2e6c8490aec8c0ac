"""Start and stop viewing Studio as a member."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.stepup import step_up_required
from environments.access import in_organisation
from environments.choices import Permission
from environments.impersonation import services as impersonation
from environments.models import Membership, Organisation
from environments.requests import StudioRequest


@require_POST
@in_organisation(requires=Permission.IMPERSONATE)
@step_up_required
def impersonate(request: StudioRequest, organisation: Organisation, pk: int) -> HttpResponse:
    memberships = Membership.objects.select_related("user", "organisation")
    membership = get_object_or_404(memberships, organisation=organisation, pk=pk)
    impersonation.begin_impersonation(request, membership, now=timezone.now())
    return redirect("environments:home", organisation.slug)


@require_POST
def stop_impersonation(request: StudioRequest) -> HttpResponse:
    """End the impersonation; if it has ended already, redirect to the start page."""
    current = request.impersonation
    if current is None:
        return redirect("start")
    impersonation.end_impersonation(request.session_record, by=current.by, why="stopped")
    messages.success(request, _("You are no longer viewing Studio as another person."))
    return redirect("environments:members", current.organisation.slug)
