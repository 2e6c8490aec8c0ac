"""Pages of retention: the ledger, holds, pending changes, and the figures of everything below."""

from contextlib import suppress
from itertools import chain
from operator import itemgetter
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.stepup import ask_to_step_up, is_stepped_up, step_up_required
from archival import compliance, deletion, erasure, guards, holds, ledger, receipts, services, signing, silence
from archival.charts import chart
from archival.choices import DeletionState
from archival.forms import ApplyForm, CutForm, DeletionForm, HoldForm, LedgerFilterForm
from archival.histogram import histogram
from archival.models import Erasure, Hold, PolicyChange, Proof
from archival.preview import StalePreview
from conversations.models import Contact
from environments.access import in_environment, in_organisation
from environments.choices import LONGEST_LIMIT_DAYS, Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from environments.spreadsheets import csv_line

PAGE_SIZE = 50


@require_safe
@in_organisation(may=Permission.READ_AUDIT_LOG)
def show_ledger(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    now = timezone.now()
    form = LedgerFilterForm(request.GET)
    runs = ledger.runs(organisation, only=form.asked.get("only", ""), since=form.since, until=form.until)
    page = Paginator(runs, PAGE_SIZE).get_page(request.GET.get("page"))
    proof = Proof.objects.filter(environment=organisation).first() if organisation.is_environment else None
    context = {
        "organisation": organisation,
        "page": page,
        "entries": ledger.entries(list(page), organisation),
        "figures": ledger.figures(organisation, now=now),
        "proof": proof,
        "is_outdated": silence.is_outdated(proof.checked_at if proof else None, now=now),
        "form": form,
        "days": urlencode(form.days),
        "may_change": Permission.CHANGE_ADVANCED_SETTINGS in request.permissions,
        "may_hold": organisation.is_environment and Permission.HOLD in request.permissions,
    }
    return render(request, "archival/ledger.html", context)


@require_safe
@in_organisation(may=Permission.READ_AUDIT_LOG)
def show_progress(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Answer with the running run alone; without one the answer stops the polling."""
    context = {"organisation": organisation, "figures": {"running": ledger.running(organisation)}}
    return render(request, "archival/ledger.html#progress", context)


@require_safe
@in_organisation(may=Permission.READ_AUDIT_LOG)
def show_run(request: StudioRequest, organisation: Organisation, number: int) -> HttpResponse:
    run = get_object_or_404(ledger.runs(organisation), pk=number)
    page = Paginator(ledger.receipts_of(organisation).filter(run=run), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"organisation": organisation, "run": run, "page": page, "entry": ledger.entries([run], organisation)[0]}
    return render(request, "archival/run.html", context)


@require_safe
@in_organisation(may=Permission.READ_AUDIT_LOG)
def show_ages(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show how old the data is, cut at the limit that holds or at ``?days=``; htmx asks for this part alone."""
    form = CutForm(request.GET)
    cut = (form.cleaned_data["days"] if form.is_valid() else None) or organisation.effective_archive_after_days
    context = {"organisation": organisation, "form": form, "cut": cut, "most_days": LONGEST_LIMIT_DAYS}
    try:
        context["chart"] = chart(histogram(organisation, timezone.now()), cut)
    except ValidationError as error:
        context["problem"] = error.messages[0]
    return render(request, "archival/ages.html" + ("#ages" if request.htmx else ""), context)


@require_safe
@in_organisation(may=Permission.READ_AUDIT_LOG)
def export_receipts(request: StudioRequest, organisation: Organisation, form: str) -> Any:
    """Download the receipts of the days that are asked for: csv, json, or signed.json for filing."""
    asked = LedgerFilterForm(request.GET)
    found = receipts.statement(organisation, since=asked.since, until=asked.until)
    period = {"from": receipts.in_utc(asked.since), "until": receipts.in_utc(asked.until)}
    name = "-".join(["receipts", organisation.slug, *asked.days.values()]) + f".{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    match form:
        case "csv":
            rows = chain([receipts.FIELDS], map(itemgetter(*receipts.FIELDS), found))
            return StreamingHttpResponse(map(csv_line, rows), content_type="text/csv; charset=utf-8", headers=headers)
        case "json":
            return JsonResponse({**period, "receipts": list(found)}, headers=headers)
        case "signed.json":
            return signed(request, organisation, {**period, "receipts": list(found)}, name=name)
    raise Http404


def signed(request: HttpRequest, organisation: Organisation, told: dict[str, Any], *, name: str) -> HttpResponse:
    """Answer with a file of receipts that can be checked without us."""
    statement = {
        "organisation": organisation.name,
        "organisation_id": organisation.pk,  # a name may be that of another, and change
        "public_key": request.build_absolute_uri(reverse("receipts-public-key")),
        **told,
    }
    document = signing.sign(statement, now=timezone.now())
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(document, content_type="application/json", headers=headers)


@require_safe
def show_public_key(request: HttpRequest) -> HttpResponse:
    """Answer with the key that checks signed receipts; open to everybody."""
    return HttpResponse(signing.public_keys(), content_type="application/x-pem-file")


@require_POST
@in_organisation(may=Permission.CHANGE_ADVANCED_SETTINGS)
@step_up_required
def cancel_change(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    change = get_object_or_404(PolicyChange, organisation=organisation, uuid=uuid)
    try:
        services.cancel_change(change, by=request.user, now=timezone.now())
        messages.success(request, _("The change was cancelled. Nothing was deleted by it."))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect(settings_page(organisation))


@require_http_methods(["GET", "POST"])
@in_organisation(may=Permission.CHANGE_ADVANCED_SETTINGS)
@step_up_required
def apply_change(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    change = get_object_or_404(PolicyChange, organisation=organisation, uuid=uuid)
    form = ApplyForm(request.POST or None)
    if form.is_valid():
        try:
            services.apply_change_now(
                change, typed_name=form.cleaned_data["typed_name"], by=request.user, now=timezone.now()
            )
        except StalePreview as error:
            form.add_error(None, error.messages)
            with suppress(ValidationError):  # it ended this very moment
                change = services.look_again(change, now=timezone.now())
        except ValidationError as error:
            form.add_error("typed_name", error.messages)
        else:
            messages.success(request, _("The change acts now. The next run of the purge deletes what is too old."))
            return redirect(settings_page(organisation))
    context = {"organisation": organisation, "change": change, "form": form}
    return render(request, "archival/apply_change.html", context)


def settings_page(organisation: Organisation) -> str:
    return reverse("archival:ledger", args=[organisation.slug])


@require_http_methods(["GET", "POST"])
@in_environment(may=Permission.HOLD)
def list_holds(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    if request.method == "POST" and not is_stepped_up(request):
        return ask_to_step_up(request)
    now = timezone.now()
    form = HoldForm(request.POST or None, environment=organisation)
    if form.is_valid():
        values = form.cleaned_data
        try:
            holds.place_hold(
                organisation,
                reason=values["reason"],
                contact=values["contact"],
                conversation=values["conversation"],
                until=values["until"],
                by=request.user,
                now=now,
            )
        except ValidationError as error:
            form.add_error(None, error.messages)
        else:
            messages.success(request, _("The hold is placed. What it covers stays until it ends."))
            return redirect("archival:holds", organisation.slug)
    found = Hold.objects.filter(environment=organisation).select_related("placed_by", "released_by")
    page = Paginator(found.order_by("-pk"), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [(hold, hold.is_active(now)) for hold in page]
    return render(
        request, "archival/holds.html", {"organisation": organisation, "form": form, "page": page, "rows": rows}
    )


@require_POST
@in_environment(may=Permission.HOLD)
@step_up_required
def release_hold(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    hold = get_object_or_404(Hold, environment=organisation, uuid=uuid)
    try:
        holds.release_hold(hold, by=request.user, now=timezone.now())
        messages.success(request, _("The hold is released. What is too old goes with the next run of the purge."))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("archival:holds", organisation.slug)


@require_POST
@in_environment(may=Permission.CHANGE_ADVANCED_SETTINGS)
@step_up_required
def confirm_guard(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    if guards.confirm_guard(organisation, by=request.user, now=timezone.now()):
        messages.success(request, _("The purge goes on here with its next run."))
    return redirect("archival:ledger", organisation.slug)


@require_http_methods(["GET", "POST"])
@in_environment(may=Permission.ERASE)
@step_up_required
def erase_contact(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    now = timezone.now()
    contact = Contact.objects.readable(now).filter(environment=organisation, uuid=uuid).first()
    if contact is None:  # perhaps just now, by the first of two clicks
        receipt = get_object_or_404(Erasure, environment=organisation, contact_uuid=uuid)
        return redirect("archival:erasure", organisation.slug, receipt.uuid)
    if request.method == "POST":
        try:
            receipt = erasure.erase_contact(contact, by=request.user, now=now)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return redirect("archival:erase-contact", organisation.slug, uuid)
        messages.success(request, _("The contact is erased. This is the receipt."))
        return redirect("archival:erasure", organisation.slug, receipt.uuid)
    context = {
        "organisation": organisation,
        "contact": contact,
        "counts": erasure.count_contact(contact),
        "is_held": holds.is_held(organisation, now=now, contact=contact),
        "may_export": Permission.EXPORT in request.permissions,
    }
    return render(request, "archival/erase_contact.html", context)


@require_safe
@in_organisation(may=Permission.READ_AUDIT_LOG)
def list_erased(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List what was deleted because somebody asked: contacts, and organisations that stood below this one."""
    page = Paginator(ledger.erasures_of(organisation), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "organisation": organisation,
        "page": page,
        "deletions": list(ledger.deletions_below(organisation)[:PAGE_SIZE]),
        "may_delete": Permission.DELETE in request.permissions,
    }
    return render(request, "archival/erased.html", context)


@require_safe
@in_organisation(may=Permission.READ_AUDIT_LOG)
def show_erasure(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    found = get_object_or_404(ledger.erasures_of(organisation), uuid=uuid)
    return render(request, "archival/erasure.html", {"organisation": organisation, "erasure": found})


@require_safe
@in_organisation(may=Permission.READ_AUDIT_LOG)
def export_erasure(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    """Download the receipt of one erasure, signed as those of the purge are."""
    found = get_object_or_404(ledger.erasures_of(organisation), uuid=uuid)
    return signed(
        request, organisation, {"receipts": [receipts.of_erasure(found)]}, name=f"erasure-{found.uuid}.signed.json"
    )


@require_http_methods(["GET", "POST"])
@in_organisation(may=Permission.DELETE)
@step_up_required
def delete_organisation(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show what deleting the organisation would delete, and begin it once its name is typed."""
    now = timezone.now()
    form = DeletionForm(request.POST or None, name=organisation.name)
    if form.is_valid():
        try:
            begun = deletion.ask_for_deletion(organisation, by=request.user, now=now)
        except ValidationError as error:
            form.add_error(None, error.messages)
        else:
            return redirect("deletion", begun.uuid)
    below = Organisation.objects.below(organisation).exclude(pk=organisation.pk)
    context = {
        "organisation": organisation,
        "form": form,
        "counts": deletion.count_organisation(organisation),
        "hold_count": Hold.objects.active(now).filter(environment=organisation).count(),
        "below": list(below[:20]),
        "below_count": below.count(),
    }
    return render(request, "archival/delete_organisation.html", context)


@require_safe
def show_deletion(request: StudioRequest, uuid: UUID) -> HttpResponse:
    """Show how far a deletion is, and what became of it; htmx asks for the progress alone while it runs."""
    found, may_act = deletion.reach_deletion(request.user, uuid)
    context = {
        "deletion": found,
        "run": found.run,
        "counts": found.run.counts,
        "may_act": may_act,
        "may_reopen": may_act and (not found.was_suspended or request.user.is_superuser),
    }
    template = "archival/deletion.html" + ("#progress" if request.headers.get("HX-Request") == "true" else "")
    return render(request, template, context)


@require_POST
@step_up_required
def change_deletion(request: StudioRequest, uuid: UUID) -> HttpResponse:
    """Stop a running deletion; delete the rest, or open the organisation again, where one was stopped."""
    found, may_act = deletion.reach_deletion(request.user, uuid)
    if not may_act:
        raise PermissionDenied(_("Your role here does not allow this."))
    now = timezone.now()
    try:
        match request.POST.get("do"):
            case "stop":
                deletion.stop_deletion(found, by=request.user, now=now)
            case "reopen":
                deletion.reopen(found, by=request.user, now=now)
                messages.success(request, _("It is open again, with what is left in it."))
            case "continue" if found.state == DeletionState.STOPPED:
                deletion.ask_for_deletion(found.organisation, by=request.user, now=now)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("deletion", uuid)


@require_safe
@in_organisation(may=Permission.READ_AUDIT_LOG)
def show_compliance(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    found = compliance.figures_below(organisation, now=timezone.now())
    return render(request, "archival/compliance.html", {"organisation": organisation, **found})
