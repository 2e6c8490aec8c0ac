"""The audit log of an organisation and everything below it."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from environments.access import in_organisation
from environments.audit_log import KINDS, described, events_of, narrowed, page_of
from environments.choices import Permission
from environments.forms import AuditFilterForm
from environments.models import Organisation
from environments.requests import StudioRequest


@require_safe
@in_organisation(may=Permission.READ_AUDIT_LOG)
def audit_log(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List what happened, the latest first, a page at a time; it costs the same however long the log is."""
    asked = AuditFilterForm(request.GET)
    asked.is_valid()
    only_here = asked.cleaned_data.get("scope") == "here"
    found = narrowed(events_of(organisation, only_here=only_here), asked.cleaned_data)
    events, older = page_of(found, after=request.GET.get("after", ""))
    query = request.GET.copy()
    query["after"] = older or ""
    context = {
        "organisation": organisation,
        "events": [described(event) for event in events],
        "older": f"?{query.urlencode()}" if older else None,
        "is_first": not request.GET.get("after"),
        "asked": {name: asked.data.get(name, "") for name in asked.fields},
        "is_narrowed": any(asked.data.get(name) for name in asked.fields),
        "kinds": KINDS,
    }
    return render(request, "environments/audit.html", context)
