"""The page of the two advanced settings."""

from typing import Any

from django.conf import settings as django_settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.gate import factors_of, safe_next
from accounts.stepup import ask_to_step_up, has_passed_mfa, is_stepped_up
from archival.choices import ChangeState
from archival.evidence.ledger import every_minutes
from archival.models import PolicyChange
from archival.policy.age_chart import Chart, count_by_age, lay_out_chart
from archival.policy.previews import Preview, StalePreview, preview_change
from archival.policy.services import change_retention, check_seen, check_start_date
from archival.policy.what_if import effect_on
from environments.access import in_organisation
from environments.choices import LONGEST_LIMIT_DAYS, Permission
from environments.models import MfaChange, Organisation
from environments.policies.effective import settings_here
from environments.policies.forms import MfaForm, SettingForm
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention, check_retention
from environments.policies.scheduled import pending_change, pending_changes, state_of
from environments.requests import StudioRequest
from studio.forms import ConfirmedArchivalForm, nothing_changed
from studio.mfa_setting import affected_by_mfa, cancel_mfa, initial_mfa, save_mfa
from web.clock import database_now
from web.methods import require_safe_or_post
from web.undo import Undo, say_done, undo_at


@require_safe_or_post
@in_organisation(requires=Permission.CHANGE_ADVANCED_SETTINGS)
def edit_advanced_settings(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show both advanced settings and their effect here, and change one of them.

    A limit that deletes something is not saved at first: the page shows what it deletes, and the second submit is bound
    to what was shown.
    """
    do = request.POST.get("do")
    if request.method == "POST" and not is_stepped_up(request):
        return ask_to_step_up(request)
    if do == "cancel-mfa":
        cancel_mfa(request, organisation)
        return redirect(safe_next(request, request.POST.get("next", "")) or request.path)
    scheduled = pending_change(MfaChange, organisation)
    mfa = MfaForm(request.POST if do == "mfa" else None, initial=initial_mfa(organisation, scheduled))
    archival = ConfirmedArchivalForm(
        request.POST if do == "archival" else None, initial=initial_archival(organisation), name=organisation.name
    )
    preview = None
    form: SettingForm = mfa if do == "mfa" else archival
    if form.is_valid():
        try:
            if do == "mfa":
                save_mfa(request, organisation, form.cleaned_data)
            else:
                preview = save_archival(request, organisation, form.cleaned_data)
        except ValidationError as error:
            form.add_refusal(error)
            if isinstance(error, StalePreview) or "typed_name" in form.errors:
                preview = preview_of(organisation, form.cleaned_data)
        if not form.errors and preview is None:
            # The form's own address leads to its section, below the message that says what was saved.
            return redirect(f"{reverse('studio:advanced-settings', args=[organisation.slug])}#main")
    if preview is not None and not preview.waits:
        archival.ask_for_name()
    context = context_of(request, organisation, mfa, archival, preview, scheduled)
    return render(request, "studio/advanced_settings.html", context)


def save_archival(request: StudioRequest, organisation: Organisation, cleaned: dict[str, Any]) -> Preview | None:
    """Save the archival setting, or return the preview if it deletes something that was not shown yet."""
    to = wanted_retention(cleaned)
    check_retention(organisation, to, by=request.caller)
    check_start_date(cleaned["starts_at"], now=database_now())
    shown, seen = request.POST.get("shown"), request.POST.get("seen")
    if not shown:
        check_seen(organisation, to, seen)
        preview = preview_of(organisation, cleaned)
        if preview.loses_something:
            return preview
    before = initial_archival(organisation), archival_state(organisation)
    change = change_retention(
        organisation,
        to=to,
        by=request.caller,
        now=database_now(),
        shown=shown or None,
        starts_at=cleaned["starts_at"],
        seen=seen,
        typed_name=cleaned["typed_name"],
    )
    if change is None:
        messages.info(request, nothing_changed(cleaned["starts_at"]))
    elif change.is_pending:
        at = date_format(timezone.localtime(change.acts_at), _("j M Y, H:i"))
        text = _("The change takes effect on %(at)s. It deletes nothing before that, and can be cancelled.")
        say_done(request, text % {"at": at}, undo_archival(organisation, *before))
    elif change.state == ChangeState.REPLACED:
        messages.success(request, _("The pending change was cancelled. The value that is set stays."))
    else:
        text = _("Customize conversation archival was changed. It is in effect now.")
        say_done(request, text, undo_archival(organisation, *before))
    return None


def archival_state(organisation: Organisation) -> list[Any]:
    """Return the state of the setting here: its own value, and which change waits."""
    return state_of(Retention.of(organisation), pending_change(PolicyChange, organisation))


def undo_archival(organisation: Organisation, shown: dict[str, Any], before: list[Any]) -> Undo | None:
    """Return the Undo of a value that was saved, or None if it replaced a change that waited: that would wait anew.

    ``shown`` is what the form showed of ``before``. A value that would delete something by now is asked about first,
    as always.
    """
    after = archival_state(organisation)
    if before[-1] is not None or after == before:
        return None
    fields = {"do": "archival", **shown}
    return undo_at("studio:advanced-settings", organisation.slug, seen=after, fields=fields)


def initial_archival(organisation: Organisation) -> dict[str, Any]:
    """Return the values that the form shows first: the stored ones."""
    return {
        "archival": organisation.archival,
        "archive_after_days": organisation.archive_after_days,
        "archival_locked": organisation.archival_locked,
    }


def preview_of(organisation: Organisation, cleaned: dict[str, Any]) -> Preview:
    """Return what the value of the form would delete."""
    return preview_change(organisation, wanted_retention(cleaned), database_now(), starts_at=cleaned["starts_at"])


def wanted_retention(cleaned: dict[str, Any]) -> Retention:
    """Return the value that the form asks for; raises ``ValidationError`` for a lock on anything but a limit."""
    return Retention(cleaned["archival"], cleaned["archive_after_days"], cleaned["archival_locked"])


def pending_retention_changes(organisation: Organisation) -> dict[str, Any]:
    """Return the organisation's own pending change, and those of nodes above that shorten something here.

    One query, and one more for each pending change above.
    """
    above = Organisation.objects.above(organisation).order_by()
    pending = pending_changes(PolicyChange).filter(organisation__in=above.values("pk"))
    changes = list(pending.select_related("organisation", "new_parent").order_by("acts_at", "pk"))
    own = [change for change in changes if change.organisation_id == organisation.pk]
    others = [(change, effect_on(organisation, change)) for change in changes if change not in own]
    return {
        "change": own[0] if own else None,
        "changes_above": [(change, effect.after) for change, effect in others if effect.is_tighter],
    }


def context_of(
    request: StudioRequest,
    organisation: Organisation,
    mfa: MfaForm,
    archival: ConfirmedArchivalForm,
    preview: Preview | None,
    scheduled: MfaChange | None,
) -> dict[str, Any]:
    """Return the context of the page: the stored values, or those of a form that was not saved."""
    if request.method == "POST":  # else it was just read
        organisation.refresh_from_db()
    page, locked = request.GET.get("page"), bool(mfa["require_mfa_locked"].value())
    affected = affected_by_mfa(organisation, locked=locked, viewer=request.caller, page=page, now=timezone.now())
    can_require_mfa = has_passed_mfa(request)
    settings = settings_here(request.access)
    at_most = settings.archival.effective.at_most
    pending = pending_retention_changes(organisation)
    age_chart: Chart | None = None
    if preview is not None:
        age_chart = lay_out_chart(
            count_by_age(
                organisation, preview.now, only=preview.shortened, counted_for=preview.counted_for, with_past=True
            ),
            preview.cut,
            preview=preview,
        )
    return {
        "organisation": organisation,
        "settings": settings,
        "mfa": mfa,
        "scheduled": scheduled,
        "archival": archival,
        "affected": affected,
        "can_require_mfa": can_require_mfa,
        "has_factor": can_require_mfa or bool(factors_of(request)),
        "chart": age_chart,
        "every_minutes": every_minutes(),
        "cooling_off_hours": django_settings.COOLING_OFF_HOURS,
        **pending,
        "archival_state": state_of(Retention.of(organisation), pending["change"]),
        "mfa_state": state_of(MfaRule.of(organisation), scheduled),
        "counts": affected.counts,
        "can_lock": not organisation.is_environment,
        "most_days": at_most.days if at_most else LONGEST_LIMIT_DAYS,
    }
