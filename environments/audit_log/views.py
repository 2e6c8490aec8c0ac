"""The audit log of an organisation and everything below it, and of no organisation, as a page and as a file."""

from collections.abc import Iterable
from contextlib import nullcontext

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
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
    return show_events(request, organisation)


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def export_audit_log(request: StudioRequest, organisation: Organisation, file_type: str) -> HttpResponseBase:
    """Stream all events that match the filter as a file of the type csv or ndjson."""
    return export_events(request, organisation, file_type=file_type)


@require_safe
def platform_audit_log(request: StudioRequest) -> HttpResponse:
    """List the events of no organisation, such as log-ins, for super users."""
    require_super_user(request)
    return show_events(request, None)


@require_safe
def export_platform_audit_log(request: StudioRequest, file_type: str) -> HttpResponseBase:
    require_super_user(request)
    return export_events(request, None, file_type=file_type)


def require_super_user(request: StudioRequest) -> None:
    """Raise ``PermissionDenied`` for others, and while a super user views Studio as a member."""
    if not request.caller.is_superuser:
        raise PermissionDenied(_("Only super users can do this."))


def show_events(request: StudioRequest, organisation: Organisation | None) -> HttpResponse:
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
        "person": label_of_user(form.asked.get("person"), page.rows),
    }
    return render(request, "environments/audit_log/list.html", context)


def label_of_user(pk: int | None, events: Iterable[Event]) -> str:
    """Return a user's name as the events have it, so that nobody reads the name of a stranger; empty for none."""
    for event in events:
        if (event.actor_kind, event.actor_id) == (Event.ActorKind.PERSON, pk):
            return event.actor_label
        if event.impersonator_id == pk:
            return event.impersonator_label
        if (event.subject_kind, event.subject_id) == ("user", pk):
            return event.subject_label
    return ""


def export_events(request: StudioRequest, organisation: Organisation | None, *, file_type: str) -> HttpResponseBase:
    events = _events_matching(organisation, AuditFilterForm(request.GET))
    record_read("audit_log.downloaded", organisation, by=request.caller)
    place = organisation.slug if organisation else "platform"
    name = f"audit-{place}-{timezone.now():%Y-%m-%d}.{file_type}"
    if file_type == "csv":
        return csv_file(csv_rows(events, viewer=request.caller), name=name)
    return StreamingHttpResponse(
        ndjson_lines(events, viewer=request.caller),
        content_type="application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _events_matching(organisation: Organisation | None, form: AuditFilterForm) -> EventQuerySet:
    """Return the events of an organisation, or of none; of a person, super users see those of every organisation."""
    if organisation is None:
        person = form.asked.get("person")
        return filter_events(Event.objects.all() if person else Event.objects.filter(organisation_id=None), form)
    return filter_events(events_of(organisation, only_here=form.asked.get("scope") == "here"), form)
