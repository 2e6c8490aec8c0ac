"""The page of compliance of an organisation, its file, and the lists of what its figures count."""

from collections.abc import Iterator

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from agencies.compliance import days, digests, queries, reminders
from agencies.compliance.queries import CountedFigure
from archival.evidence.silence import is_outdated
from audit.services import record_read
from environments.access import in_organisation
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.methods import require_safe_or_post
from web.paging import page_of
from web.spreadsheets import csv_file
from web.typed import whole_number

PAGE_SIZE = 50


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def show_compliance(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show the figures of everything at or below the organisation; each leads to the list of what it counts."""
    now = timezone.now()
    compliance = queries.count_figures(organisation, permissions=request.permissions, now=now)
    context = {
        "organisation": organisation,
        "compliance": compliance,
        "now": now,
        "is_outdated": is_outdated(compliance.checked_at, now=now),
        "trend": days.trend_of(organisation, permissions=request.permissions, now=now),
        "daily": queries.deleted_by_day(organisation, now=now),
        "gets_digest": digests.is_reader(request.user, organisation),
    }
    return render(request, "agencies/compliance/compliance.html", context)


@require_POST
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def change_digest(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Turn the weekly mail of the figures on or off, for the viewer."""
    if request.POST.get("do") == "on":
        digests.turn_on(organisation, by=request.caller, now=timezone.now())
        messages.success(request, _("You get the figures by mail every Monday."))
    else:
        digests.turn_off(organisation, by=request.caller)
        messages.success(request, _("You no longer get the figures by mail."))
    return redirect("agencies:compliance", organisation.slug)


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def export_compliance(request: StudioRequest, organisation: Organisation) -> HttpResponseBase:
    """Send the figures of the page as CSV."""
    now = timezone.now()
    compliance = queries.count_figures(organisation, permissions=request.permissions, now=now)
    record_read("compliance.downloaded", organisation, by=request.caller)
    name = f"compliance-{organisation.slug}-{now:%Y-%m-%d}.csv"
    return csv_file(_csv_rows(compliance.figures), name=name)


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def export_trend(request: StudioRequest, organisation: Organisation) -> HttpResponseBase:
    """Send the figures of each stored day of the last 90 as CSV."""
    now = timezone.now()
    trend = days.trend_of(organisation, permissions=request.permissions, now=now)
    record_read("compliance.downloaded", organisation, by=request.caller)
    name = f"compliance-90-days-{organisation.slug}-{now:%Y-%m-%d}.csv"
    header = ("day", *(line.figure.name for line in trend.lines))
    rows = zip(trend.days, *(line.counts for line in trend.lines), strict=True)
    return csv_file([header, *rows], name=name)


def _csv_rows(figures: list[CountedFigure]) -> Iterator[tuple[object, ...]]:
    yield ("figure", "count")
    for each in figures:
        yield (each.figure.name, each.count)


@require_safe
@in_organisation(requires=Permission.MANAGE_MEMBERS)
def list_people(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List the people at or below the organisation who must still set up a second factor."""
    now = timezone.now()
    people = queries.people_without_factor(organisation, now)
    page = page_of(people, request.GET.get("page"), size=PAGE_SIZE, reads_all=True)
    rows = queries.lines_of_people(page, organisation, now=now)
    return render(
        request, "agencies/compliance/people.html", {"organisation": organisation, "page": page, "rows": rows}
    )


@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_MEMBERS)
def remind_people(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show who of the people without a second factor, or of ``?person=``, gets a reminder; on POST send it to them."""
    now = timezone.now()
    found = queries.people_without_factor(organisation, now)
    if "person" in request.GET:
        found = found.filter(pk=whole_number(request.GET["person"]) or 0)
    possible = reminders.who_can_be_reminded(found, now=now)
    if request.method == "POST":
        shown = {whole_number(each) or 0 for each in request.POST.getlist("shown")[: reminders.AT_ONCE]}
        people = list(possible.filter(pk__in=shown))
        count = reminders.remind(people, organisation, by=request.caller, now=now)
        others = possible.exclude(pk__in=shown).count()
        messages.success(request, _who_was_reminded(count, of=len(shown), others=others))
        return redirect("agencies:compliance-people", organisation.slug)
    people = list(possible[: reminders.AT_ONCE])
    context = {"organisation": organisation, "people": people, "left_out": found.count() - len(people)}
    return render(request, "agencies/compliance/remind.html", context)


def _who_was_reminded(count: int, *, of: int, others: int) -> str:
    """Return how many got the mail ``of`` those that the page showed, and how many there are that it did not show."""
    text = ngettext("A reminder was mailed to %(n)d person.", "A reminder was mailed to %(n)d people.", count)
    sentences = [text % {"n": count}]
    if spared := of - count:
        text = ngettext(
            "%(n)d person on the page needs none any more, or got one meanwhile.",
            "%(n)d people on the page need none any more, or got one meanwhile.",
            spared,
        )
        sentences.append(text % {"n": spared})
    if others:
        text = ngettext(
            "%(n)d person without a second factor was not on the page and got none.",
            "%(n)d people without a second factor were not on the page and got none.",
            others,
        )
        sentences.append(text % {"n": others})
    return " ".join(sentences)


@require_safe
@in_organisation(requires=Permission.MANAGE_MEMBERS)
def list_expiring_access(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List the memberships at or below the organisation that expire soon."""
    page = page_of(queries.expiring_access(organisation, timezone.now()), request.GET.get("page"), size=PAGE_SIZE)
    context = {"organisation": organisation, "page": page, "rows": queries.lines_of_access(page)}
    return render(request, "agencies/compliance/access.html", context)


@require_safe
@in_organisation(requires=Permission.MANAGE_PROVIDERS)
def list_providers_off(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List the identity providers at or below the organisation through which nobody can log in."""
    page = page_of(queries.providers_off(organisation, timezone.now()), request.GET.get("page"), size=PAGE_SIZE)
    context = {"organisation": organisation, "page": page, "rows": queries.lines_of_providers(page)}
    return render(request, "agencies/compliance/providers.html", context)


@require_safe
@in_organisation(requires=Permission.MANAGE_API_KEYS)
def list_expiring_keys(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List the API keys of the organisation, of everything below it and of its people that expire soon."""
    page = page_of(queries.expiring_keys(organisation, timezone.now()), request.GET.get("page"), size=PAGE_SIZE)
    context = {"organisation": organisation, "page": page, "rows": queries.lines_of_keys(page, organisation)}
    return render(request, "agencies/compliance/keys.html", context)
