"""The page of the two advanced settings, which composes rooms."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.stepup import ask_to_step_up, is_stepped_up
from archival.services import change_retention
from environments import roster
from environments.access import in_organisation
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from environments.services import set_require_mfa
from studio.advanced import advanced_settings
from studio.forms import ArchivalForm, MfaForm

PEOPLE_SHOWN = 20


@require_http_methods(["GET", "POST"])
@in_organisation(may=Permission.CHANGE_ADVANCED_SETTINGS)
def edit_advanced_settings(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show both advanced settings and what they mean here, and change one of them."""
    do = request.POST.get("do")
    mfa = MfaForm(request.POST if do == "mfa" else None)
    archival = ArchivalForm(request.POST if do == "archival" else None)
    form = mfa if do == "mfa" else archival
    if request.method == "POST" and not is_stepped_up(request):
        return ask_to_step_up(request)
    if form.is_valid():
        try:
            _save(request, organisation, do, form.cleaned_data)
        except ValidationError as error:
            form.add_error(None, error.messages)
        else:
            return redirect("studio:advanced-settings", organisation.slug)
    organisation.refresh_from_db()
    people = roster.people_affected(organisation)
    lacking = roster.without_factor(people)
    counted = roster.counts(people)
    context = {
        "organisation": organisation,
        "settings": advanced_settings(organisation, viewer=request.user),
        "mfa": mfa,
        "archival": archival,
        "counts": counted,
        "lacking": roster.persons(list(lacking.order_by("email")[:PEOPLE_SHOWN]), organisation, viewer=request.user),
        "more_lacking": max(0, counted.lacking - PEOPLE_SHOWN),
        "may_lock": not organisation.is_environment,
        "longest": 3650,
    }
    return render(request, "studio/advanced_settings.html", context)


def _save(request: StudioRequest, organisation: Organisation, do: str | None, cleaned: dict[str, Any]) -> None:
    now = timezone.now()
    if do == "mfa":
        value, locked = cleaned["require_mfa"], cleaned["require_mfa_locked"]
        if set_require_mfa(organisation, value=value, locked=locked, by=request.user, now=now):
            messages.success(request, _("Require Multi-factor authentication was changed. It holds from now on."))
        return
    change_retention(
        organisation,
        archival=cleaned["archival"],
        days=cleaned["archive_after_days"],
        locked=cleaned["archival_locked"],
        by=request.user,
        now=now,
    )
    messages.success(request, _("Customize conversation archival was changed. It holds from now on."))
