"""A person's own API keys."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from accounts.stepup import ask_to_step_up, is_stepped_up, step_up_required
from environments.keys import services as keys
from environments.keys.forms import ApiKeyForm
from environments.models import ApiKey
from environments.requests import StudioRequest
from web.compression import shows_secret
from web.methods import require_safe_or_post


@never_cache
@shows_secret
@require_safe_or_post
def list_keys(request: StudioRequest) -> HttpResponse:
    """List the viewer's keys, and create one: it is shown in the answer to that request and never again."""
    can_create = keys.can_have_own_keys(request.user, now=timezone.now())
    if request.method == "POST" and not can_create:
        raise PermissionDenied(
            _("Your roles do not include API keys. Ask an Administrator for a role that does, such as Developer.")
        )
    form, raw = ApiKeyForm(request.POST or None), None
    if form.is_valid():
        if not is_stepped_up(request):
            return ask_to_step_up(request)
        try:
            name, now = form.cleaned_data["name"], timezone.now()
            _key, raw = keys.create_personal_key(
                request.user, name=name, expires_at=form.expires_at(now), by=request.caller, now=now
            )
        except ValidationError as error:
            form.add_error(None, error)
        else:
            form = ApiKeyForm()
    context = {
        "form": form,
        "raw": raw,
        "keys": keys.live_keys_of(request.user),
        "now": timezone.now(),
        "can_create": can_create,
    }
    return render(request, "environments/keys/personal_keys.html", context)


@require_safe_or_post
@step_up_required
def revoke_key(request: StudioRequest, uuid: str) -> HttpResponse:
    """Ask whether to revoke a key of the viewer; on POST revoke it."""
    key = get_object_or_404(ApiKey, owner=request.user, uuid=uuid)
    if request.method != "POST":
        context = {"key": key, "list": reverse("environments:api-keys")}
        return render(request, "environments/keys/revoke_key.html", context)
    keys.revoke_key(key, by=request.caller, now=timezone.now())
    messages.success(request, _("%(name)s was revoked.") % {"name": key.name})
    return redirect("environments:api-keys")
