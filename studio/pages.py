"""The page of the two advanced settings, which composes rooms."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.gate import has_passed_factor, is_opened_by_sso
from accounts.stepup import ask_to_step_up, is_stepped_up
from archival.charts import Chart, chart
from archival.choices import ChangeState
from archival.histogram import histogram
from archival.models import PolicyChange
from archival.preview import Preview, StalePreview, preview
from archival.services import change_retention
from environments import roster
from environments.access import in_organisation
from environments.choices import LONGEST_LIMIT_DAYS, MfaSetting, Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from environments.services import check_archival, set_require_mfa
from studio.advanced import advanced_settings
from studio.forms import ArchivalForm, MfaForm

PEOPLE_SHOWN = 20


@require_http_methods(["GET", "POST"])
@in_organisation(may=Permission.CHANGE_ADVANCED_SETTINGS)
def edit_advanced_settings(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show both advanced settings and what they mean here, and change one of them.

    Saving a limit that deletes something first shows what goes; the second submit is bound to what was shown.
    """
    do = request.POST.get("do")
    if request.method == "POST" and not is_stepped_up(request):
        return ask_to_step_up(request)
    mfa = MfaForm(request.POST if do == "mfa" else None)
    archival = ArchivalForm(request.POST if do == "archival" else None)
    going = None
    form = mfa if do == "mfa" else archival
    if form.is_valid():
        try:
            if do == "mfa":
                save_mfa(request, organisation, form.cleaned_data)
            else:
                going = save_archival(request, organisation, form.cleaned_data)
        except ValidationError as error:
            form.add_error(None, error.messages)
            if isinstance(error, StalePreview):
                going = preview_of(organisation, form.cleaned_data)
        if not form.errors and going is None:
            return redirect("studio:advanced-settings", organisation.slug)
    return render(request, "studio/advanced_settings.html", context_of(request, organisation, mfa, archival, going))


def save_mfa(request: StudioRequest, organisation: Organisation, cleaned: dict[str, Any]) -> None:
    """Save the MFA setting. Raises ``ValidationError`` for whoever requires of others what he did not pass himself."""
    value, locked = cleaned["require_mfa"], cleaned["require_mfa_locked"]
    if value == MfaSetting.ON and not (has_passed_factor(request) or is_opened_by_sso(request)):
        raise ValidationError(
            _("Log in with a second factor yourself before you require it: see Security in your profile.")
        )
    if set_require_mfa(organisation, value=value, locked=locked, by=request.user, now=timezone.now()):
        messages.success(request, _("Require Multi-factor authentication was changed. It holds from now on."))


def save_archival(request: StudioRequest, organisation: Organisation, cleaned: dict[str, Any]) -> Preview | None:
    """Save the archival setting, or return what it would delete where that was not shown yet."""
    archival, days, locked = cleaned["archival"], cleaned["archive_after_days"], cleaned["archival_locked"]
    check_archival(organisation, archival=archival, days=days, locked=locked, by=request.user)
    shown = request.POST.get("shown")
    if not shown:
        going = preview_of(organisation, cleaned)
        if going.is_tighter and (going.total.rows or going.total.held):
            return going
    change = change_retention(
        organisation,
        archival=archival,
        days=days,
        locked=locked,
        by=request.user,
        now=timezone.now(),
        shown=shown or None,
    )
    if change is None:
        messages.info(request, _("Nothing was changed."))
    elif change.is_pending:
        messages.success(
            request, _("The change is pending: nothing is deleted before it acts, and it can be cancelled.")
        )
    else:
        messages.success(request, _("Customize conversation archival was changed. It holds from now on."))
    return None


def preview_of(organisation: Organisation, cleaned: dict[str, Any]) -> Preview:
    days, archival, locked = cleaned["archive_after_days"], cleaned["archival"], cleaned["archival_locked"]
    return preview(organisation, days, timezone.now(), archival=archival, locked=locked)


def context_of(
    request: StudioRequest, organisation: Organisation, mfa: MfaForm, archival: ArchivalForm, going: Preview | None
) -> dict[str, Any]:
    organisation.refresh_from_db()
    people = roster.people_affected(organisation)
    counted = roster.counts(people)
    lacking = list(roster.without_factor(people).order_by("email")[:PEOPLE_SHOWN])
    settings = advanced_settings(organisation, viewer=request.user)
    drawn: Chart | None = None
    if going is not None:
        drawn = chart(histogram(organisation, going.now), going.days, preview=going)
    return {
        "organisation": organisation,
        "settings": settings,
        "mfa": mfa,
        "archival": archival,
        "chosen_mfa": mfa.data.get("require_mfa", settings.require_mfa.own),
        "chosen_archival": archival.data.get("archival", settings.archival.own),
        "chosen_days": archival.data.get("archive_after_days", settings.archival.days or ""),
        "chosen_lock": "archival_locked" in archival.data if archival.is_bound else settings.archival.is_locked,
        "chart": drawn,
        "change": PolicyChange.objects.filter(organisation=organisation, state=ChangeState.PENDING).first(),
        "counts": counted,
        "lacking": roster.persons(lacking, organisation, viewer=request.user),
        "more_lacking": max(0, counted.lacking - PEOPLE_SHOWN),
        "may_lock": not organisation.is_environment,
        "most_days": settings.archival.at_most_days or LONGEST_LIMIT_DAYS,
    }
