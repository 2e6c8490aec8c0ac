"""The audit log of an organisation and everything below it, as a page and as a file."""

from contextlib import nullcontext

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from audit.models import Event, EventQuerySet
from audit.services import record_read
from environments.access import in_organisation
from environments.audit_log.forms import AuditFilterForm
from environments.audit_log.queries import LATEST_FIRST, PAGE_SIZE, csv_rows, events_of, filter_events, ndjson_lines
from environments.audit_log.words import audit_lines
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.keyset import Slice, slice_of
from web.searches import SearchTookTooLong, limited_search
from web.spreadsheets import csv_file


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def audit_log(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List events, the latest first, a page at a time; the cost does not grow with the log."""
    form = AuditFilterForm(request.GET)
    page, took_too_long = Slice[Event]([]), False
    try:
        with limited_search() if form.asked.get("q") else nullcontext():
            events = _events_matching(organisation, form)
            page = slice_of(events, LATEST_FIRST, PAGE_SIZE, older_than=request.GET.get("after", ""))
    except SearchTookTooLong:
        took_too_long = True
    query = request.GET.copy()
    query.pop("after", None)
    latest = query.urlencode()
    query["after"] = page.older or ""
    context = {
        "organisation": organisation,
        "lines": audit_lines(page.rows, viewer=request.caller),
        "took_too_long": took_too_long,
        "form": form,
        "latest": f"?{latest}" if request.GET.get("after") else None,
        "older": f"?{query.urlencode()}" if page.older else None,
        "query": latest,
    }
    return render(request, "environments/audit_log/list.html", context)


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def export_audit_log(request: StudioRequest, organisation: Organisation, file_type: str) -> HttpResponseBase:
    """Stream all events that match the filter as a file of the type csv or ndjson."""
    events = _events_matching(organisation, AuditFilterForm(request.GET))
    record_read("audit_log.downloaded", organisation, by=request.caller)
    name = f"audit-{organisation.slug}-{timezone.now():%Y-%m-%d}.{file_type}"
    if file_type == "csv":
        return csv_file(csv_rows(events, viewer=request.caller), name=name)
    return StreamingHttpResponse(
        ndjson_lines(events, viewer=request.caller),
        content_type="application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _events_matching(organisation: Organisation, form: AuditFilterForm) -> EventQuerySet:
    return filter_events(events_of(organisation, only_here=form.asked.get("scope") == "here"), form)
