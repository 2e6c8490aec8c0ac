"""The page of usage of an organisation, and its file."""

from datetime import UTC, date

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from agencies.usage import queries
from agencies.usage.forms import UsageFilterForm
from audit.services import record_read
from conversations.models import DailyCount
from environments.access import in_organisation
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.spreadsheets import csv_file


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def show_usage(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show what was stored at and below the organisation, over time and by channel."""
    form, periods, found, missing_until = _asked(request, organisation)
    context = {
        "organisation": organisation,
        "form": form,
        "usage": queries.usage_of(queries.rows_by_period(found, form.chosen), periods, form.measure),
        "contacts_missing_until": missing_until,
        "query": request.GET.urlencode(),
    }
    return render(request, "agencies/usage/usage.html", context)


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def export_usage(request: StudioRequest, organisation: Organisation) -> HttpResponseBase:
    """Stream the counts of each day, environment and channel as CSV, with the filter of the page."""
    _form, _periods, found, _missing_until = _asked(request, organisation)
    record_read("usage.downloaded", organisation, by=request.caller)
    return csv_file(queries.csv_rows(found), name=f"usage-{organisation.slug}-{timezone.now():%Y-%m-%d}.csv")


def _asked(
    request: StudioRequest, organisation: Organisation
) -> tuple[UsageFilterForm, list[date], QuerySet[DailyCount], date | None]:
    """Return the filter, the first day of each of its days or months, and the counts that it asks for; one query.

    The last is the latest of these days whose new contacts were not all counted.
    """
    beginnings = queries.beginning_by_channel(organisation)
    form = UsageFilterForm(request.GET, channels=beginnings)
    today = timezone.now().astimezone(UTC).date()
    first = min((each.first_day for each in beginnings.values()), default=today)
    periods = form.chosen.starts(today=today, beginning=first)
    channel = form.asked.get("channel") or ""
    found = queries.narrowed(queries.counts_of(organisation), since=periods[0], until=today, channel=channel)
    asked = [each for name, each in beginnings.items() if channel in {"", name}]
    return form, periods, found, queries.missing_until(asked, since=periods[0])
