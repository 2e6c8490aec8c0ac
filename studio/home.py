"""The start page, and the home page of an organisation."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from environments.access import in_organisation, reachable, reachable_environments
from environments.choices import Permission
from environments.models import Organisation
from environments.policies.effective import advanced_settings, organisation_rows
from environments.requests import StudioRequest
from studio import figures, switcher
from studio.context import address
from studio.pending import pending_deletions

PAGE_SIZE = 50


@require_safe
def start(request: StudioRequest) -> HttpResponse:
    """Redirect to the environment that was opened last, or to the only one, or else to the list of organisations."""
    recent = switcher.recent_environments(request.caller)
    if recent is not None:
        return redirect(recent.choices[0].address)
    slugs = list(reachable_environments(request.caller).values_list("slug", flat=True)[:2])
    return redirect("environments:home", slugs[0]) if len(slugs) == 1 else redirect("environments:organisations")


@require_safe
@in_organisation()
def home(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show an environment's figures, or what is below an organisation, the effective settings, and what is pending."""
    now = timezone.now()
    below = Organisation.objects.below(organisation)
    can_change = Permission.CHANGE_ADVANCED_SETTINGS in request.permissions
    context: dict[str, Any] = {
        "organisation": organisation,
        "above": list(reachable(request.caller).above(organisation).exclude(pk=organisation.pk)),
        "settings_address": address("studio:advanced-settings", organisation.slug) if can_change else None,
        "chart": figures.daily_chart(below.environments(), now=now),
    }
    if organisation.is_environment:
        context["settings"] = advanced_settings(organisation, viewer=request.caller)
        counted = context["figures"] = figures.count_figures(organisation, now=now)
        context["pending"] = pending_deletions(request, organisation, conversations=counted.conversations)
        return render(request, "studio/home.html", context)
    page = Paginator(below.environments().order_by("path"), PAGE_SIZE).get_page(request.GET.get("page"))
    here, *below_here = organisation_rows([organisation, *page], viewer=request.caller)
    context |= {
        "settings": here.settings,
        "overview": figures.overview(below.exclude(pk=organisation.pk)),
        "page": page,
        "rows": below_here,
        "pending": pending_deletions(request, organisation),
    }
    return render(request, "studio/overview.html", context)
