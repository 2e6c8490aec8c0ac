"""Pages of an organisation's own identity providers."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts.choices import SsoPurpose
from accounts.log_in.sso_views import begin_round_trip
from accounts.stepup import ask_to_step_up, is_stepped_up, step_up_required
from accounts.throttle.budgets import provider_trials_of, use_up
from environments.access import in_organisation
from environments.choices import Permission
from environments.models import IdentityProvider, Organisation
from environments.providers import queries, services
from environments.providers.forms import DeleteProviderForm, NewProviderForm, ProviderForm
from environments.providers.trials import PASSED, Outcome
from environments.requests import StudioRequest
from web.methods import require_safe_or_post


@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_PROVIDERS)
def list_providers(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List the organisation's providers, and add one."""
    form = NewProviderForm(request.POST or None)
    if form.is_valid():
        if not is_stepped_up(request):
            return ask_to_step_up(request)
        try:
            added = services.add_provider(
                organisation, title=form.cleaned_data["title"], by=request.caller, now=timezone.now()
            )
        except ValidationError as error:
            form.add_error(None, error)
        else:
            return redirect("environments:provider", organisation.slug, added.key)
    context = {"organisation": organisation, "form": form, "providers": queries.providers_of(organisation)}
    return render(request, "environments/providers/list.html", context)


@never_cache
@sensitive_post_parameters("secret")
@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_PROVIDERS)
@step_up_required
def show_provider(request: StudioRequest, organisation: Organisation, key: str) -> HttpResponse:
    """Show a provider, with the address to register there and what its latest trial showed; change it."""
    provider = _provider(organisation, key)
    form = ProviderForm(request.POST or None, organisation=organisation, provider=provider)
    if form.is_valid():
        try:
            services.change_provider(provider, to=form.connection, by=request.caller, seen=request.POST.get("seen"))
        except ValidationError as error:
            form.add_error(None, error)
        else:
            messages.success(request, _("%(title)s was saved.") % {"title": form.connection.title})
            return redirect("environments:provider", organisation.slug, key)
    address = reverse("social:complete", args=[provider.backend_name])
    context = {
        "organisation": organisation,
        "provider": provider,
        "form": form,
        "shown": services.as_shown(provider),
        "redirect_address": f"{settings.SITE_URL}{address}",
        "trial": _trial(provider),
        "users": queries.users_of(provider),
    }
    return render(request, "environments/providers/provider.html", context)


def _trial(provider: IdentityProvider) -> dict[str, Any] | None:
    """Return what the latest trial showed, with its outcome in words."""
    if not provider.trial:
        return None
    outcome = Outcome(provider.trial["outcome"])
    return {**provider.trial, "words": outcome.label, "has_passed": outcome in PASSED}


@never_cache
@require_POST
@in_organisation(requires=Permission.MANAGE_PROVIDERS)
@step_up_required
def try_provider(request: StudioRequest, organisation: Organisation, key: str) -> HttpResponse:
    """Send the Administrator to the provider; its answer is shown, and logs nobody in."""
    provider = _provider(organisation, key)
    page = reverse("environments:provider", args=[organisation.slug, key])
    try:
        if not provider.is_complete:
            raise ValidationError(_("Save what the provider gave you first."))
        use_up(provider_trials_of(organisation.pk))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect(page)
    return begin_round_trip(request, provider.backend_name, SsoPurpose.TRY, after=page)


@require_POST
@in_organisation(requires=Permission.MANAGE_PROVIDERS)
@step_up_required
def turn_on_provider(request: StudioRequest, organisation: Organisation, key: str) -> HttpResponse:
    provider = _provider(organisation, key)
    try:
        services.turn_on(provider, by=request.caller)
        messages.success(request, _("People can log in through %(title)s now.") % {"title": provider.title})
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("environments:provider", organisation.slug, key)


@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_PROVIDERS)
@step_up_required
def turn_off_provider(request: StudioRequest, organisation: Organisation, key: str) -> HttpResponse:
    """Ask whether to turn a provider off, with what ends; on POST turn it off."""
    provider = _provider(organisation, key)
    if request.method != "POST":
        context = {"organisation": organisation, "provider": provider, "users": queries.users_of(provider)}
        return render(request, "environments/providers/turn_off.html", context)
    ended = services.turn_off(provider, by=request.caller, now=timezone.now())
    text = ngettext("%(title)s is off. %(n)d session has ended.", "%(title)s is off. %(n)d sessions have ended.", ended)
    messages.success(request, text % {"title": provider.title, "n": ended})
    return redirect("environments:provider", organisation.slug, key)


@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_PROVIDERS)
@step_up_required
def delete_provider(request: StudioRequest, organisation: Organisation, key: str) -> HttpResponse:
    """Show what is deleted with a provider, and delete it once its name is typed."""
    provider = _provider(organisation, key)
    form = DeleteProviderForm(request.POST or None, title=provider.title)
    if form.is_valid():
        services.delete_provider(provider, by=request.caller, now=timezone.now())
        messages.success(request, _("%(title)s was deleted.") % {"title": provider.title})
        return redirect("environments:providers", organisation.slug)
    context = {
        "organisation": organisation,
        "provider": provider,
        "form": form,
        "users": queries.users_of(provider),
    }
    return render(request, "environments/providers/delete.html", context)


def _provider(organisation: Organisation, key: str) -> IdentityProvider:
    return get_object_or_404(queries.providers_of(organisation), key=key)
