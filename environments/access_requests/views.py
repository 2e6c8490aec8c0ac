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
from environments.access import in_organisation
from environments.access_requests import services as access_requests
from environments.access_requests import tasks as access_request_tasks
from environments.access_requests.forms import AnswerForm
from environments.choices import Permission, are_sensitive
from environments.models import AccessRequest, Organisation
from environments.requests import StudioRequest
from web import deliveries
from web.typed import typed_words

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
    """List the waiting access requests of the organisation, and how the latest others were answered."""
    waiting = organisation.access_requests.waiting().select_related("user")
    grantable = granting.roles_within(request.permissions)
    rows = [
        (access_request, AnswerForm(roles=grantable, auto_id=f"id_{access_request.uuid}_%s"))
        for access_request in waiting.order_by("created_at", "pk")[:100]
    ]
    answered = organisation.access_requests.filter(answered_at__isnull=False).select_related("user", "answered_by")
    context: dict[str, Any] = {
        "rows": rows,
        "answered": list(answered.order_by("-answered_at", "-pk")[:LATEST]),
        "organisation": organisation,
    }
    return render(request, "environments/access_requests/list.html", context)


@require_POST
@in_organisation(requires=Permission.ANSWER_ACCESS_REQUESTS)
def answer_access_request(request: StudioRequest, organisation: Organisation, uuid: str) -> HttpResponse:
    """Accept an access request with the chosen roles, or reject it."""
    asked = get_object_or_404(AccessRequest.objects.select_related("user"), organisation=organisation, uuid=uuid)
    form = AnswerForm(request.POST, roles=granting.roles_within(request.permissions))
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
            messages.success(request, _("%(name)s is now a member.") % {"name": name})
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
