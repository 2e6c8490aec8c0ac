"""The table of environments below an organisation, as a page and as a file."""

from collections.abc import Iterator
from datetime import UTC, datetime

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from agencies.environment_table.forms import EnvironmentFilterForm
from agencies.environment_table.queries import (
    TableRow,
    all_rows,
    environments_matching,
    latest_bulk_changes,
    lines_of,
    page_of_environments,
    table_rows,
)
from audit.services import record_read
from environments.access import in_organisation
from environments.choices import Kind, Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.spreadsheets import csv_file

ABOVE_ENVIRONMENTS = [kind for kind in Kind if kind != Kind.ENVIRONMENT]
COLUMNS = (
    *("environment", "short_name", "in", "suspended", "mfa_required", "mfa_from", "own_mfa", "limit_days"),
    *("limit_from", "own_archival", "people_without_factor", "oldest_data", "late", "retention_changes_at"),
    *("mfa_changes_at", "access_requests"),
)


@require_safe
@in_organisation(kinds=ABOVE_ENVIRONMENTS)
def list_environments(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List the environments below the organisation; the query string has the filter, the order and the page."""
    form = EnvironmentFilterForm(request.GET, permissions=request.permissions)
    found = environments_matching(organisation, form.asked, now=timezone.now())
    page = page_of_environments(found, request.GET.get("page"), reads_all=form.narrows or form.sorts)
    can_change = Permission.CHANGE_ADVANCED_SETTINGS in request.permissions and request.caller.impersonator is None
    context = {
        "organisation": organisation,
        "form": form,
        "page": page,
        "lines": lines_of(table_rows(page, access=request.access), organisation, as_tree=form.is_tree),
        "is_tree": form.is_tree,
        "columns_count": 8 if can_change else 7,
        "query": request.GET.urlencode(),
        "can_change": can_change,
        "bulk_changes": latest_bulk_changes(organisation) if can_change else [],
    }
    return render(request, "agencies/environment_table/list.html", context)


@require_safe
@in_organisation(kinds=ABOVE_ENVIRONMENTS)
def export_environments(request: StudioRequest, organisation: Organisation) -> HttpResponseBase:
    """Stream all environments that match the filter as CSV, in the order of the page."""
    form = EnvironmentFilterForm(request.GET, permissions=request.permissions)
    now = timezone.now()
    found = environments_matching(organisation, form.asked, now=now)
    record_read("environments.downloaded", organisation, by=request.caller)
    name = f"environments-{organisation.slug}-{now:%Y-%m-%d}.csv"
    return csv_file(_csv_rows(all_rows(found, access=request.access)), name=name)


def _csv_rows(rows: Iterator[TableRow]) -> Iterator[tuple[object, ...]]:
    """Yield the header and then a row for each environment; instants are in UTC, and empty cells are not known."""
    yield COLUMNS
    for row in rows:
        node = row.node
        yield (
            *(node.name, node.slug, row.settings.parent, _yes(node.is_suspended), _yes(node.effective_require_mfa)),
            *(row.settings.mfa_origin, node.require_mfa, node.effective_archive_after_days),
            *(row.settings.archival_origin, node.archival, row.without_factor, _utc(row.oldest)),
            *(_yes(row.is_late), _utc(node.retention_changes_at), _utc(node.mfa_changes_at)),
            row.requests,
        )


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def _utc(instant: datetime | None) -> str:
    return "" if instant is None else instant.astimezone(UTC).isoformat(timespec="seconds")
