"""Views that download receipts, and the public key that checks them."""

from itertools import chain
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from archival.evidence import ledger, receipts
from archival.evidence.forms import LedgerFilterForm
from archival.journal import signing
from audit.services import record_read
from environments.access import in_organisation
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.spreadsheets import csv_file


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def export_receipts(request: StudioRequest, organisation: Organisation, file_type: str) -> HttpResponseBase:
    """Return the receipts of the chosen days as a file of the type csv, json or signed.json."""
    asked = LedgerFilterForm(request.GET)
    record_read("receipts.downloaded", organisation, by=request.caller)
    exported = receipts.receipts_as_json(organisation, since=asked.since, until=asked.until)
    period = {"from": receipts.in_utc(asked.since), "until": receipts.in_utc(asked.until)}
    name = "-".join(["receipts", organisation.slug, *asked.days.values()]) + f".{file_type}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if file_type == "csv":
        rows = chain([receipts.FIELDS], map(itemgetter(*receipts.FIELDS), exported))
        return csv_file(rows, name=name)
    content = {**period, "receipts": list(exported)}
    if file_type == "json":
        return JsonResponse(content, headers=headers)
    return signed_file(request, organisation, content, name=name)


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def export_erasure(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    """Return the signed receipt of one erasure."""
    found = get_object_or_404(ledger.erasures_of(organisation), uuid=uuid)
    record_read("receipts.downloaded", organisation, by=request.caller, subject=found)
    return signed_file(
        request, organisation, {"receipts": [receipts.erasure_as_json(found)]}, name=f"erasure-{found.uuid}.signed.json"
    )


def signed_file(
    request: HttpRequest, organisation: Organisation, content: dict[str, Any], *, name: str
) -> HttpResponse:
    """Return a signed file of receipts as a download."""
    statement = {
        "organisation": organisation.name,
        "organisation_id": organisation.pk,  # names are not unique and can change
        "public_key": request.build_absolute_uri(reverse("receipts-public-key")),
        **content,
    }
    document = signing.sign(statement, now=timezone.now())
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(document, content_type="application/json", headers=headers)


@require_safe
def show_public_key(request: HttpRequest) -> HttpResponse:
    """Return the public key that checks signed receipts; everybody can open it without a log-in."""
    return HttpResponse(signing.public_keys(), content_type="application/x-pem-file")
