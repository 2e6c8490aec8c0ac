"""Pages for requesting access, and for answering requests."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.stepup import ask_to_step_up, is_stepped_up
from accounts.throttle.budgets import TooManyTries, access_asked_by, use_up
from environments import granting
from environments.access import in_organisation, permissions_in
from environments.access_requests import services as access_requests
from environments.access_requests import tasks as access_request_tasks
from environments.access_requests.forms import AnswerForm
from environments.choices import Permission, Role, are_sensitive
from environments.models import AccessRequest, AccessRequestQuerySet, Organisation
from environments.requests import StudioRequest
from web import deliveries
from web.among import Among
from web.paging import page_of
from web.typed import typed_words

PAGE_SIZE = 50
LATEST = 50  # answered requests that the page lists, for who opens it from a mail later


@require_POST
def ask_for_access(request: StudioRequest, slug: str) -> HttpResponse:
    """Take a request for access; the response is the same whether or not the organisation exists."""
    try:
        use_up(access_asked_by(request.user))
    except TooManyTries as error:
        messages.error(request, " ".join(error.messages))
        return redirect("start")
    message = typed_words(request.POST.get("message", ""), longest=500)
    deliveries.queue_task(access_request_tasks.ask_for_access, request.user.pk, slug, message)
    return redirect("environments:access-asked")


@require_safe
def access_asked(request: StudioRequest) -> HttpResponse:
    return render(request, "environments/access_requests/asked.html")


@require_safe
@in_organisation(requires=Permission.ANSWER_ACCESS_REQUESTS)
def list_access_requests(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List the waiting access requests of the organisation and everything below it, and the latest answered ones.

    What has waited longest comes first.
    """
    found = _requests_below(request, organisation)
    page = page_of(found.waiting().order_by("created_at", "pk"), request.GET.get("page"), size=PAGE_SIZE)
    rows = [
        (asked, AnswerForm(roles=_grantable(request, asked.organisation), auto_id=f"id_{asked.uuid}_%s"))
        for asked in page
    ]
    answered = found.filter(answered_at__isnull=False).select_related("answered_by")
    context: dict[str, Any] = {
        "rows": rows,
        "page": page,
        "answered": list(answered.order_by("-answered_at", "-pk")[:LATEST]),
        "organisation": organisation,
    }
    return render(request, "environments/access_requests/list.html", context)


def _requests_below(request: StudioRequest, organisation: Organisation) -> AccessRequestQuerySet:
    """Return the requests of the organisation and everything below it, of suspended ones for super users alone."""
    below = Organisation.objects.below(organisation).order_by()
    if not request.caller.is_superuser:
        below = below.live()
    found = AccessRequest.objects.filter(Among("organisation", below.values("pk")))
    return found.select_related("user", "organisation")


def _grantable(request: StudioRequest, organisation: Organisation) -> list[Role]:
    """Return the roles that the viewer can give there, by what let this request in; no query."""
    if request.caller.impersonator is not None:  # who gives none
        return granting.roles_within(request.permissions)
    return granting.roles_within(permissions_in(request.caller, organisation, granted=request.access.granted))


@require_POST
@in_organisation(requires=Permission.ANSWER_ACCESS_REQUESTS)
def answer_access_request(request: StudioRequest, organisation: Organisation, uuid: str) -> HttpResponse:
    """Accept an access request of the organisation, or below it, with the chosen roles, or reject it."""
    asked = get_object_or_404(_requests_below(request, organisation), uuid=uuid)
    form = AnswerForm(request.POST, roles=_grantable(request, asked.organisation))
    name = asked.user.label
    try:
        if request.POST.get("do") == "reject":
            access_requests.reject_request(asked, by=request.caller, now=timezone.now())
            messages.success(request, _("The request of %(name)s was rejected.") % {"name": name})
        elif form.is_valid():
            roles, until = form.cleaned_data["roles"], form.cleaned_data["until"]
            if are_sensitive(roles) and not is_stepped_up(request):
                return ask_to_step_up(request)
            access_requests.accept_request(asked, roles=roles, until=until, by=request.caller, now=timezone.now())
            words = _("%(name)s is now a member of %(organisation)s.")
            messages.success(request, words % {"name": name, "organisation": asked.organisation.name})
        else:
            messages.error(request, _why_invalid(form))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("environments:access-requests", organisation.slug)


def _why_invalid(form: AnswerForm) -> str:
    """Return why a form is not valid; a role that it does not offer has more permissions than the viewer's own."""
    if form.has_error("roles"):
        return str(granting.RoleAboveOwn())
    return " ".join(str(message) for messages_of_field in form.errors.values() for message in messages_of_field)
