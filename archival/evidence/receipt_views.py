"""Receipts as files, and the key that checks them."""

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
from environments.access import in_organisation
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.spreadsheets import csv_file


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def export_receipts(request: StudioRequest, organisation: Organisation, file_type: str) -> HttpResponseBase:
    """Download the receipts of the days that are asked for: csv, json, or signed.json for filing."""
    asked = LedgerFilterForm(request.GET)
    found = receipts.statement(organisation, since=asked.since, until=asked.until)
    period = {"from": receipts.in_utc(asked.since), "until": receipts.in_utc(asked.until)}
    name = "-".join(["receipts", organisation.slug, *asked.days.values()]) + f".{file_type}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if file_type == "csv":
        rows = chain([receipts.FIELDS], map(itemgetter(*receipts.FIELDS), found))
        return csv_file(rows, name=name)
    told = {**period, "receipts": list(found)}
    if file_type == "json":
        return JsonResponse(told, headers=headers)
    return signed(request, organisation, told, name=name)


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def export_erasure(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    """Download the receipt of one erasure, signed as those of the purge are."""
    found = get_object_or_404(ledger.erasures_of(organisation), uuid=uuid)
    return signed(
        request, organisation, {"receipts": [receipts.of_erasure(found)]}, name=f"erasure-{found.uuid}.signed.json"
    )


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
