"""Pages of the keys that work in an organisation: its own, and the personal ones of its people."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.stepup import ask_to_step_up, is_stepped_up, step_up_required
from environments.access import in_organisation
from environments.choices import Permission, Role
from environments.keys import queries as key_list
from environments.keys import services as keys
from environments.keys import suspension
from environments.keys.forms import OrganisationKeyForm
from environments.models import ApiKey, Organisation
from environments.requests import StudioRequest
from web.compression import shows_secret
from web.methods import require_safe_or_post
from web.paging import page_of

PAGE_SIZE = 50


@never_cache
@shows_secret
@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_API_KEYS)
def list_organisation_keys(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List the keys, and create one of the organisation's own, which this response shows and no later one."""
    roles = [role for role in Role if role.permissions <= request.permissions]
    form, raw, now = OrganisationKeyForm(request.POST or None, roles=roles), None, timezone.now()
    if form.is_valid():
        if not is_stepped_up(request):
            return ask_to_step_up(request)
        typed = form.cleaned_data
        try:
            suspension.check_complies(request.user)
            _key, raw = keys.create_organisation_key(
                organisation,
                name=typed["name"],
                roles=typed["roles"],
                expires_at=form.expires_at(now),
                by=request.caller,
                now=now,
            )
        except ValidationError as error:
            form.add_error(None, error)
        else:
            form = OrganisationKeyForm(roles=roles)
    context = {"organisation": organisation, "form": form, "raw": raw, **_listing(request, organisation)}
    return render(request, "environments/keys/organisation_keys.html", context)


def _listing(request: StudioRequest, organisation: Organisation) -> dict[str, Any]:
    own = page_of(key_list.organisation_keys(organisation), request.GET.get("page"), size=PAGE_SIZE)
    people = page_of(key_list.personal_keys_in(organisation), request.GET.get("people"), size=PAGE_SIZE)
    return {
        "page": own,
        "lines": key_list.key_lines(own, organisation, now=timezone.now()),
        "people": people,
        "now": timezone.now(),
    }


@require_POST
@in_organisation(requires=Permission.MANAGE_API_KEYS)
@step_up_required
def take_over_organisation_key(request: StudioRequest, organisation: Organisation, uuid: str) -> HttpResponse:
    """Make the viewer responsible for one of the organisation's keys."""
    key = get_object_or_404(key_list.organisation_keys(organisation).select_related("organisation"), uuid=uuid)
    try:
        suspension.take_over_key(key, by=request.caller, now=timezone.now())
        messages.success(request, _("You are now responsible for %(name)s.") % {"name": key.name})
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("environments:organisation-keys", organisation.slug)


@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_API_KEYS)
@step_up_required
def revoke_organisation_key(request: StudioRequest, organisation: Organisation, uuid: str) -> HttpResponse:
    """Ask whether to revoke one of the organisation's keys, or a personal one that works in it; on POST revoke it."""
    shown = key_list.organisation_keys(organisation).filter(uuid=uuid) or key_list.personal_keys_in(organisation)
    key: ApiKey = get_object_or_404(shown, uuid=uuid)
    if not key_list.can_revoke(request.caller, key, organisation):
        raise PermissionDenied(
            _("This key also works where you are not an Administrator. Ask its owner or a super user to revoke it.")
        )
    if request.method != "POST":
        context = {
            "key": key,
            "organisation": organisation,
            "list": reverse("environments:organisation-keys", args=[organisation.slug]),
        }
        return render(request, "environments/keys/revoke_key.html", context)
    keys.revoke_key(key, by=request.caller, now=timezone.now(), place=organisation)
    messages.success(request, _("%(name)s was revoked.") % {"name": key.name})
    return redirect("environments:organisation-keys", organisation.slug)
