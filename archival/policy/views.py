"""Pages that cancel a pending change, or apply it now."""

from contextlib import suppress
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.gate import safe_next
from accounts.stepup import step_up_required
from archival.models import PolicyChange
from archival.policy import services
from archival.policy.forms import TypedNameForm
from archival.policy.previews import StalePreview
from environments.access import in_organisation
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.clock import database_now
from web.methods import require_safe_or_post


@require_POST
@in_organisation(requires=Permission.CHANGE_ADVANCED_SETTINGS)
@step_up_required
def cancel_change(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    """Cancel a pending change, and lead back to the page in ``next``, or else to the ledger."""
    change = get_object_or_404(PolicyChange, organisation=organisation, uuid=uuid)
    try:
        services.cancel_change(change, by=request.caller, now=database_now())
        messages.success(request, _("The change was cancelled. It deleted nothing."))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    ledger = reverse("archival:ledger", args=[organisation.slug])
    return redirect(safe_next(request, request.POST.get("next", "")) or ledger)


@require_safe_or_post
@in_organisation(requires=Permission.CHANGE_ADVANCED_SETTINGS)
@step_up_required
def apply_change(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    change = get_object_or_404(PolicyChange, organisation=organisation, uuid=uuid)
    form = TypedNameForm(request.POST or None, name=change.organisation.name)
    if form.is_valid():
        try:
            services.apply_change_now(
                change, typed_name=form.cleaned_data["typed_name"], by=request.caller, now=database_now()
            )
        except StalePreview as error:
            form.add_error(None, error.messages)
            with suppress(ValidationError):  # raised if the change has just ended
                change = services.recount_change(change, now=database_now())
        except ValidationError as error:
            form.add_error("typed_name", error.messages)
        else:
            messages.success(request, _("The change is in effect. The next run deletes data past its limit."))
            return redirect("archival:ledger", organisation.slug)
    context = {"organisation": organisation, "change": change, "form": form}
    return render(request, "archival/policy/apply_change.html", context)
