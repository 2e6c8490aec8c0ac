"""Pages of the people below an organisation: the list and its file, one person, and removing them from all of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.stepup import ask_to_step_up, is_stepped_up
from agencies.users.forms import UserFilterForm
from agencies.users.preview import what_ends
from agencies.users.queries import UserRow, all_rows, memberships_of, people_matching, people_within, user_rows
from audit.services import record_read
from environments.access import in_organisation
from environments.choices import Kind, Permission, are_sensitive, labels_of
from environments.members import services as members
from environments.models import Membership, Organisation
from environments.requests import StudioRequest
from web.methods import require_safe_or_post
from web.paging import page_of
from web.spreadsheets import csv_file
from web.versions import version_of

PAGE_SIZE = 50
ABOVE_ENVIRONMENTS = [kind for kind in Kind if kind != Kind.ENVIRONMENT]
COLUMNS = ("name", "email", "membership_count", "memberships", "logs_in_with", "second_factor", "last_active_at")


@require_safe
@in_organisation(requires=Permission.MANAGE_MEMBERS, kinds=ABOVE_ENVIRONMENTS)
def list_users(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List everybody at or below the organisation; the query string has the filter, the order and the page."""
    form = UserFilterForm(request.GET)
    people = people_matching(organisation, form.asked)
    page = page_of(people, request.GET.get("page"), size=PAGE_SIZE, reads_all=True)
    rows = user_rows(page, organisation)
    context = {
        "organisation": organisation,
        "form": form,
        "page": page,
        "rows": rows,
        "lacking_count": rows[0].user.lacking_count if rows else 0,
        "query": request.GET.urlencode(),
    }
    return render(request, "agencies/users/list.html", context)


@require_safe
@in_organisation(requires=Permission.MANAGE_MEMBERS, kinds=ABOVE_ENVIRONMENTS)
def export_users(request: StudioRequest, organisation: Organisation) -> HttpResponseBase:
    """Stream everybody who matches the filter as CSV, in the order of the page."""
    people = people_matching(organisation, UserFilterForm(request.GET).asked)
    record_read("users.downloaded", organisation, by=request.caller)
    name = f"users-{organisation.slug}-{timezone.now():%Y-%m-%d}.csv"
    return csv_file(_csv_rows(all_rows(people, organisation)), name=name)


def _csv_rows(rows: Iterator[UserRow]) -> Iterator[tuple[object, ...]]:
    """Yield the header and then a row for each person; instants are in UTC."""
    yield COLUMNS
    for row in rows:
        user = row.user
        logs_in = [("password", user.has_password), ("sso", user.has_sso), ("passkey", user.has_passkey)]
        factors = [("app", user.has_app), ("passkey", user.has_passkey)]
        yield (
            *(user.name, user.email, row.count, "; ".join(str(place) for place in row.places)),
            *(_named(logs_in), _named(factors), _utc(user.last_active_at)),
        )


def _named(parts: list[tuple[str, bool]]) -> str:
    return ", ".join(name for name, is_there in parts if is_there)


def _utc(instant: datetime | None) -> str:
    return "" if instant is None else instant.astimezone(UTC).isoformat(timespec="seconds")


@require_safe
@in_organisation(requires=Permission.MANAGE_MEMBERS, kinds=ABOVE_ENVIRONMENTS)
def show_user(request: StudioRequest, organisation: Organisation, pk: int) -> HttpResponse:
    """Show every membership of a person at or below the organisation."""
    person = get_object_or_404(people_within(organisation), pk=pk)
    now = timezone.now()
    page = page_of(memberships_of(person, organisation), request.GET.get("page"), size=PAGE_SIZE)
    rows: list[Any] = list(page)
    context = {
        "organisation": organisation,
        "person": person,
        "page": page,
        "rows": [(each, labels_of(each.roles), each.is_live(now)) for each in rows],
        "reached_count": rows[0].reached_count if rows else 0,
    }
    return render(request, "agencies/users/user.html", context)


@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_MEMBERS, kinds=ABOVE_ENVIRONMENTS)
def remove_user(request: StudioRequest, organisation: Organisation, pk: int) -> HttpResponse:
    """Ask whether to end all memberships of a person here and below, and name what ends; on POST end them."""
    memberships = list(members.memberships_within(organisation).filter(user=pk))
    if not memberships:
        raise Http404
    person = memberships[0].user
    if are_sensitive(members.roles_of(memberships)) and not is_stepped_up(request):
        return ask_to_step_up(request)
    now = timezone.now()
    try:
        if request.method != "POST":
            members.check_can_remove_all(memberships, by=request.caller, now=now)
            return _ask_to_remove(request, organisation, person, now=now)
        ended = members.remove_user(person, organisation, by=request.caller, now=now, seen=request.POST.get("seen"))
    except (ValidationError, PermissionDenied) as error:
        messages.error(request, " ".join(getattr(error, "messages", [str(error)])))
        return redirect("agencies:user", organisation.slug, pk)
    messages.success(request, _removed(person, ended))
    return redirect("start") if person == request.user else redirect("agencies:users", organisation.slug)


def _removed(person: User, ended: list[Membership]) -> str:
    text = ngettext(
        "%(count)d membership of %(name)s has ended.", "%(count)d memberships of %(name)s have ended.", len(ended)
    )
    return text % {"name": person.label, "count": len(ended)}


def _ask_to_remove(request: StudioRequest, organisation: Organisation, person: User, *, now: datetime) -> HttpResponse:
    ending = what_ends(person, organisation, now=now)
    context = {
        "organisation": organisation,
        "person": person,
        "ending": ending,
        "places": [(each.organisation, labels_of(each.roles)) for each in ending.memberships],
        "seen": version_of(members.state_of_memberships(ending.memberships)),
    }
    return render(request, "agencies/users/remove_user.html", context)
