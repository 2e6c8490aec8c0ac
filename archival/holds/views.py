"""Pages of legal holds."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.stepup import ask_to_step_up, is_stepped_up, step_up_required
from archival.holds import services as holds
from archival.holds.forms import HoldForm
from archival.holds.queries import readable_of
from archival.models import Hold
from conversations.models import Contact, Conversation
from environments.access import in_environment
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.clock import database_now
from web.methods import require_safe_or_post
from web.paging import page_of

PAGE_SIZE = 50


@require_safe_or_post
@in_environment(requires=Permission.HOLD)
def list_holds(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    if request.method == "POST" and not is_stepped_up(request):
        return ask_to_step_up(request)
    now = database_now() if request.method == "POST" else timezone.now()
    form = HoldForm(
        request.POST or None, environment=organisation, initial=initial_hold(request.GET, organisation, now=now)
    )
    if form.is_valid():
        values = form.cleaned_data
        try:
            holds.place_hold(
                organisation,
                reason=values["reason"],
                contact=values["contact"],
                conversation=values["conversation"],
                until=values["until"],
                by=request.caller,
                now=now,
            )
        except ValidationError as error:
            form.add_error(None, error.messages)
        else:
            messages.success(request, _("The legal hold is in effect. What it covers is kept until it ends."))
            # The form's own address leads to its section, below the message that says what is held.
            return redirect(f"{reverse('archival:holds', args=[organisation.slug])}#main")
    found = Hold.objects.filter(environment=organisation).select_related("placed_by", "released_by")
    page = page_of(found.order_by("-pk"), request.GET.get("page"), size=PAGE_SIZE)
    shown = list(page)
    covered = readable_of(shown, organisation, now=now)
    rows = [(hold, hold.is_active(now), covered.get(hold.pk)) for hold in shown]
    return render(
        request, "archival/holds/list.html", {"organisation": organisation, "form": form, "page": page, "rows": rows}
    )


def initial_hold(query: QueryDict, environment: Organisation, *, now: datetime) -> dict[str, str]:
    """Return what the form shows first: the readable ``?conversation=`` or ``?contact=`` with this UUID, or nothing."""
    for kind, model in (("conversation", Conversation), ("contact", Contact)):
        try:
            uuid = UUID(query.get(kind, ""))
        except ValueError:
            continue
        readable: Any = model._default_manager
        found = readable.readable(now, environment=environment).filter(uuid=uuid).values_list("external_id").first()
        if found:
            return {"covers": kind, "external_id": found[0]}
    return {}


@require_safe_or_post
@in_environment(requires=Permission.HOLD)
@step_up_required
def release_hold(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    """Ask whether to release a hold, and release it on POST."""
    hold = get_object_or_404(Hold, environment=organisation, uuid=uuid)
    if request.method == "POST":
        try:
            holds.release_hold(hold, by=request.caller, now=database_now())
            messages.success(request, _("The legal hold is released. The next run deletes data past its limit."))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
    elif hold.is_active(database_now()):
        return render(request, "archival/holds/release_hold.html", {"organisation": organisation, "hold": hold})
    return redirect("archival:holds", organisation.slug)
