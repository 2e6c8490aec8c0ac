"""Pages of the ledger, of one run, of the data by age, and of a purge that stopped at its maximum."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Page
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.stepup import step_up_required
from archival.engine import guards
from archival.evidence import ledger, silence
from archival.evidence.forms import LedgerFilterForm, PreviewLimitForm
from archival.evidence.past import count_past_limit
from archival.models import Guard, PurgeRun
from archival.policy.age_chart import count_by_age, lay_out_chart
from archival.policy.forms import TypedNameForm
from environments.access import in_environment, in_organisation
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.clock import database_now
from web.methods import require_safe_or_post
from web.paging import page_of

PAGE_SIZE = 50


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def show_ledger(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    now = timezone.now()
    form = LedgerFilterForm(request.GET)
    page, entries = list_runs(request, organisation, form)
    figures = ledger.figures(organisation, now=now)
    proof = figures["proof"]
    context = {
        "organisation": organisation,
        "page": page,
        "entries": entries,
        "figures": figures,
        "proof": proof,
        "is_outdated": silence.is_outdated(proof.checked_at if proof else None, now=now),
        "form": form,
        "days": urlencode(form.days),
        "can_change": Permission.CHANGE_ADVANCED_SETTINGS in request.permissions,
        "can_hold": organisation.is_environment and Permission.HOLD in request.permissions,
    }
    return render(request, "archival/evidence/ledger.html", context)


def list_runs(
    request: StudioRequest, organisation: Organisation, form: LedgerFilterForm
) -> tuple[Page[PurgeRun], list[ledger.Entry | ledger.Fold]]:
    """Return a page of runs and its rows: all runs that the form asks for, or, if it asks for none, with folds."""
    number, days = request.GET.get("page"), {"since": form.since, "until": form.until}
    if form.is_folded:
        return ledger.folded_entries(organisation, number, size=PAGE_SIZE, **days)
    runs = ledger.find_runs(organisation, only=form.asked.get("only", ""), **days)
    for name, bound in (("first", "pk__gte"), ("last", "pk__lte")):
        if pk := form.asked.get(name):
            runs = runs.filter(**{bound: pk})
    page = page_of(runs, number, size=PAGE_SIZE)
    return page, [*ledger.entries_of(list(page), organisation)]


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def show_progress(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show the progress of the running run to htmx, and tell the ledger when to fetch its runs again.

    With ``?awaits=run`` no run was running when the page was last fetched, but one is about to: until it begins or has
    been, nothing changes.
    """
    running = ledger.running_entry(organisation)
    latest: Any = None if running else ledger.latest_runs(organisation, now=timezone.now()).first()
    is_awaited = latest is not None and latest.is_awaited
    if is_awaited and request.GET.get("awaits"):
        return HttpResponse(status=204)
    figures = {"running": running, "is_awaited": is_awaited}
    context = {"organisation": organisation, "figures": figures}
    response = render(request, "archival/evidence/ledger.html#progress", context)
    if running is None:
        response["HX-Trigger"] = "runs-changed"
    return response


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def show_run(request: StudioRequest, organisation: Organisation, number: int) -> HttpResponse:
    run = get_object_or_404(ledger.find_runs(organisation), pk=number)
    page = page_of(ledger.receipts_of(organisation).filter(run=run), request.GET.get("page"), size=PAGE_SIZE)
    context = {
        "organisation": organisation,
        "run": run,
        "page": page,
        "entry": ledger.entries_of([run], organisation)[0],
    }
    return render(request, "archival/evidence/run.html", context)


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def show_ages(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show the data by age, split at ``?days=`` or at the effective limit; htmx gets only this section.

    The page of the setting shows it without its form: there ``?archive_after_days=`` is what is typed as the limit.
    """
    in_effect = organisation.effective_archive_after_days
    typed = request.GET.get("days") or request.GET.get("archive_after_days")
    form = PreviewLimitForm({"days": typed} if typed else None, initial={"days": in_effect})
    cut = form.cleaned_data["days"] if form.is_valid() else in_effect
    context = {"organisation": organisation, "form": form}
    try:
        now = timezone.now()
        context["chart"] = lay_out_chart(count_by_age(organisation, now), cut)
        context["past"] = count_past_limit(organisation, now=now)
    except ValidationError as error:
        context["problem"] = error.messages[0]
    if not request.htmx:
        return render(request, "archival/policy/ages.html", context)
    is_of_setting = "days" not in request.GET
    return render(request, "archival/policy/_ages.html" if is_of_setting else "archival/policy/ages.html#ages", context)


@require_safe_or_post
@in_environment(requires=Permission.CHANGE_ADVANCED_SETTINGS)
@step_up_required
def confirm_guard(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show what is past its limit where the purge stopped at its maximum, and let it go on once the name is typed."""
    now = database_now()
    form = TypedNameForm(request.POST or None, name=organisation.name)
    if form.is_valid() and guards.confirm_guard(organisation, by=request.caller, now=now):
        messages.success(request, _("The next run of the purge continues here."))
    if form.is_valid() or not Guard.objects.filter(environment=organisation, confirmed_at=None).exists():
        return redirect("archival:ledger", organisation.slug)
    context: dict[str, Any] = {"organisation": organisation, "form": form}
    try:
        context["counts"] = count_past_limit(organisation, now=now).counts
    except ValidationError as error:
        context["problem"] = error.messages[0]
    return render(request, "archival/evidence/confirm_guard.html", context)
