"""Pages of bulk changes: choose the settings and preview them, follow the job, get its result, revert it."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.stepup import ask_to_step_up, has_passed_mfa, is_stepped_up, step_up_required
from agencies.bulk import services
from agencies.bulk.forms import WantedArchivalForm, WantedMfaForm, wanted_of
from agencies.bulk.preview import BulkPreview, preview_bulk_change
from agencies.bulk.queries import bulk_changes_of, progress_of, requires_mfa_again, results_of
from agencies.bulk.selection import Selection
from agencies.bulk.wanted import MFA, RETENTION, Wanted
from agencies.models import BulkChange, BulkItem
from archival.policy.forms import TypedNameForm
from audit.services import record_read
from environments.access import in_organisation
from environments.choices import Kind, Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.clock import database_now
from web.methods import require_safe_or_post
from web.paging import page_of
from web.spreadsheets import csv_file

PAGE_SIZE = 50
ABOVE_ENVIRONMENTS = [kind for kind in Kind if kind != Kind.ENVIRONMENT]
COLUMNS = (
    *("environment", "result", "reason", "own_archival_before", "own_days_before", "own_archival", "own_days"),
    *("archival_from", "own_mfa_before", "own_mfa", "mfa_from", "conversations", "messages", "done_at"),
)
guarded = in_organisation(requires=Permission.CHANGE_ADVANCED_SETTINGS, kinds=ABOVE_ENVIRONMENTS)


@require_safe_or_post
@guarded
def change_environments(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show what is to be set in the chosen environments, with a preview once something is; a POST starts the job.

    Everything that was chosen stands in the query string, also that of the POST, which is bound to the preview that
    was shown.
    """
    selection, now = Selection.of(request.GET), database_now()
    try:
        environments = selection.environments(request.access, now=now)
    except ValidationError as error:
        messages.info(request, " ".join(error.messages))
        return redirect("agencies:environments", organisation.slug)
    if request.method == "POST" and not is_stepped_up(request):
        return ask_to_step_up(request)
    is_asked = "archival" in request.GET or "require_mfa" in request.GET
    mfa, archival = (
        WantedMfaForm(request.GET if is_asked else None),
        WantedArchivalForm(request.GET if is_asked else None),
    )
    wanted = wanted_of(mfa, archival) if is_asked else None
    context: dict[str, Any] = {"organisation": organisation, "selection": selection, "environments": environments}
    context |= {"mfa": mfa, "archival": archival, "problem": "", "is_asked": is_asked}
    if wanted is not None:
        try:
            check_wanted(request, wanted)
            preview = preview_bulk_change(organisation, environments, wanted, access=request.access, now=now)
        except ValidationError as error:
            context["problem"] = " ".join(error.messages)
        else:
            context |= context_of_preview(request, preview)
            if request.method == "POST" and (job := start(request, preview, context)):
                return redirect("agencies:bulk-change", organisation.slug, job.uuid)
    return render(request, "agencies/bulk/change.html", context)


def check_wanted(request: StudioRequest, wanted: Wanted) -> None:
    """Raise ``ValidationError`` if nothing is to be set, and for MFA on in a session without a second factor."""
    if not wanted:
        raise ValidationError(_("Choose a value for at least one setting."))
    if wanted.mfa is not None and wanted.mfa.is_on:
        check_own_factor(request)


def check_own_factor(request: StudioRequest) -> None:
    """Raise ``ValidationError`` in a session without a second factor."""
    if not has_passed_mfa(request):
        raise ValidationError(_("Pass a second factor yourself before you require it of others."), code="own_factor")


def context_of_preview(request: StudioRequest, preview: BulkPreview) -> dict[str, Any]:
    """Return the preview with its page, and the form that asks for a name where data would be deleted at once."""
    must_type = preview.loses_something and not preview.waits
    data = request.POST if request.method == "POST" else None
    return {
        "preview": preview,
        "page": Paginator(preview.rows, PAGE_SIZE).get_page(request.GET.get("page")),
        "typed": TypedNameForm(data, name=preview.organisation.name) if must_type else None,
    }


def start(request: StudioRequest, preview: BulkPreview, context: dict[str, Any]) -> BulkChange | None:
    """Start the job of a preview; return None, with a problem in the context, if it has to be looked at again."""
    typed: TypedNameForm | None = context["typed"]
    if typed is not None and not typed.is_valid():
        return None
    try:
        preview.check_shown(request.POST.get("shown", ""))
        return services.start_bulk_change(
            preview.organisation,
            preview.changing,
            wanted=preview.wanted,
            by=request.caller,
            now=preview.now,
            typed_name=typed.cleaned_data["typed_name"] if typed is not None else None,
        )
    except ValidationError as error:
        context["problem"] = " ".join(error.messages)
        return None


@require_safe
@guarded
def show_bulk_change(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    """Show how far a bulk change is, and its results; ``?state=`` narrows them."""
    job = get_object_or_404(bulk_changes_of(organisation).select_related("reverts"), uuid=uuid)
    state = request.GET.get("state")
    context = {
        "organisation": organisation,
        "job": job,
        "progress": progress_of(job),
        "reversal": job.reversals.first(),
        "page": page_of(results_of(job, state=state), request.GET.get("page"), size=PAGE_SIZE),
        "state": state,
        "wanted": Wanted.from_json(job.wanted),
    }
    return render(request, "agencies/bulk/job.html", context)


@require_safe
@guarded
def show_progress(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    """Show the progress of a bulk change to htmx; once it has ended, the page is loaded again."""
    job = get_object_or_404(bulk_changes_of(organisation), uuid=uuid)
    context = {"organisation": organisation, "job": job, "progress": progress_of(job)}
    response = render(request, "agencies/bulk/job.html#progress", context)
    if not job.is_running:
        response["HX-Refresh"] = "true"
    return response


@require_safe
@guarded
def export_results(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponseBase:
    """Stream the result in every environment as CSV."""
    job = get_object_or_404(bulk_changes_of(organisation), uuid=uuid)
    record_read("bulk_change.downloaded", organisation, by=request.caller, subject=job)
    name = f"bulk-change-{organisation.slug}-{job.requested_at:%Y-%m-%d}.csv"
    return csv_file(_csv_rows(results_of(job).iterator(chunk_size=500)), name=name)


def _csv_rows(items: Iterator[BulkItem]) -> Iterator[tuple[object, ...]]:
    """Yield the header and then a row for each environment; instants are in UTC, and empty cells were not changed."""
    yield COLUMNS
    for item in items:
        archival, mfa = item.wanted.get(RETENTION, {}), item.wanted.get(MFA, {})
        archival_before, mfa_before = item.before.get(RETENTION, {}), item.before.get(MFA, {})
        change, schedule = item.policy_change, item.mfa_change
        deletes = change.preview if change is not None else {}
        yield (
            *(item.environment_label, item.state, _(item.reason) if item.reason else ""),
            *(archival_before.get("archival"), archival_before.get("days"), archival.get("archival")),
            *(archival.get("days"), change and change.acts_at.isoformat(timespec="seconds")),
            *(mfa_before.get("value"), mfa.get("value"), schedule and schedule.acts_at.isoformat(timespec="seconds")),
            *(deletes.get("conversations"), deletes.get("messages")),
            item.ended_at and item.ended_at.isoformat(timespec="seconds"),
        )


@require_safe_or_post
@guarded
@step_up_required
def revert_bulk_change(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    """Ask whether to set back what a bulk change set; a POST starts the job that does.

    Where ``COOLING_OFF_HOURS`` is 0, the organisation's name is to be typed: a limit from before can delete data.
    """
    job = get_object_or_404(bulk_changes_of(organisation), uuid=uuid)
    data = request.POST if request.method == "POST" else None
    typed = None if settings.COOLING_OFF_HOURS else TypedNameForm(data, name=organisation.name)
    if request.method == "POST" and (typed is None or typed.is_valid()):
        name = typed.cleaned_data["typed_name"] if typed is not None else None
        try:
            if requires_mfa_again(job):
                check_own_factor(request)
            job = services.revert_bulk_change(job, by=request.caller, now=database_now(), typed_name=name)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            messages.success(request, _("The bulk change is being reverted."))
        return redirect("agencies:bulk-change", organisation.slug, job.uuid)
    context = {"organisation": organisation, "job": job, "progress": progress_of(job), "typed": typed}
    return render(request, "agencies/bulk/revert.html", context)
