"""The page on which many people are invited by a list: what each line leads to first, and then its result."""

from collections import Counter

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from accounts.stepup import ask_to_step_up, is_stepped_up
from environments import granting
from environments.access import in_organisation
from environments.choices import Permission, are_sensitive
from environments.invitation_lists import services as lists
from environments.invitation_lists.forms import ListForm
from environments.invitation_lists.lines import Line, read_lines
from environments.models import Organisation
from environments.requests import StudioRequest
from web.clock import database_now
from web.methods import require_safe_or_post
from web.versions import version_of


@transaction.non_atomic_requests
@never_cache
@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_MEMBERS)
def invite_list(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show what each line of a list would lead to; on the second POST, of the list that was shown, invite them.

    Lines that were not invited stay in the form, to mend them or send them later.
    """
    form, is_sent = ListForm(request.POST or None), False
    lines = _lines_of(form)
    lists.check_lines(lines, organisation, by=request.caller, now=database_now())
    seen = version_of(request.POST.get("lines", "").splitlines())
    if lines and request.POST.get("do") == "send" and request.POST.get("seen") == seen:
        if _gives_sensitive_roles(lines) and not is_stepped_up(request):
            return ask_to_step_up(request)
        lists.invite_lines(lines, organisation, by=request.caller, now=database_now())
        left, is_sent = [line.text for line in lines if line.state == "refused"], True
        form = ListForm(initial={"lines": "\n".join(left)})
    context = {
        "organisation": organisation,
        "form": form,
        "lines": lines,
        "counts": Counter(line.state for line in lines),
        "is_sent": is_sent,
        "seen": seen,
        "roles": granting.roles_within(request.permissions),
    }
    return render(request, "environments/invitation_lists/invite_list.html", context)


def _lines_of(form: ListForm) -> list[Line]:
    """Return the lines of a form that was sent; none, and the error in the form, for a list that cannot be read."""
    if not form.is_valid():
        return []
    try:
        return read_lines(form.cleaned_data["lines"])
    except ValidationError as error:
        form.add_error("lines", error)
        return []


def _gives_sensitive_roles(lines: list[Line]) -> bool:
    return any(are_sensitive([*line.roles, *line.replaces]) for line in lines if line.state == "invite")
