"""The start page, and the home page of an organisation."""

from typing import Any, cast

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from environments.access import granted_to, in_organisation, is_reached, reachable_environments
from environments.choices import Kind, Permission
from environments.models import Organisation, OrganisationQuerySet
from environments.policies.effective import environment_rows, settings_here
from environments.requests import StudioRequest
from studio import attention, figures, switcher
from studio.context import address
from studio.pending import pending_deletions
from web.together import fetch_together

PAGE_SIZE = 50


@require_safe
def start(request: StudioRequest) -> HttpResponse:
    """Redirect an agency's people to their table of environments, all others to the environment that they opened last.

    Who opened none is redirected to the only one, or else to the list of organisations.
    """
    caller = request.caller
    granted = granted_to(caller)
    for each in granted:
        if each.kind != Kind.ENVIRONMENT and is_reached(caller, each.path, granted, is_suspended=each.is_suspended):
            return redirect("agencies:environments", each.slug)
    recent = switcher.recent_environments(request.caller)
    if recent is not None:
        return redirect(recent.choices[0].address)
    slugs = list(reachable_environments(request.caller).values_list("slug", flat=True)[:2])
    return redirect("environments:home", slugs[0]) if len(slugs) == 1 else redirect("environments:organisations")


@require_safe
@in_organisation()
def home(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show what needs attention, an environment's figures or what is below an organisation, and the effective settings.

    Three queries, and one more for the environments below an organisation.
    """
    now, access = timezone.now(), request.access
    below = Organisation.objects.below(organisation)
    questions = {
        **figures.questions_of_chart(below.environments(), now=now),
        **attention.questions_about(access),
    }
    if organisation.is_environment:
        questions |= figures.questions_about(organisation, now=now)
    else:
        questions |= figures.question_of_overview(below.exclude(pk=organisation.pk))
    answers = fetch_together(**questions)
    can_change = Permission.CHANGE_ADVANCED_SETTINGS in access.permissions
    chart = figures.daily_chart(answers, now=now)
    context: dict[str, Any] = {
        "organisation": organisation,
        "above": access.visible_above,
        "settings": settings_here(access),
        "settings_address": address("studio:advanced-settings", organisation.slug) if can_change else None,
        "chart": chart,
        "concerns": attention.concerns_among(answers, access),
    }
    if organisation.is_environment:
        counted = context["figures"] = figures.figures_of(answers, chart, now=now)
        context["pending"] = pending_deletions(request, access, conversations=counted.conversations)
        return render(request, "studio/home.html", context)
    overview = figures.overview(answers)
    paginator = Paginator(below.environments().order_by("path"), PAGE_SIZE)
    paginator.count = overview.environments
    page = paginator.get_page(request.GET.get("page"))
    context |= {
        "overview": overview,
        "page": page,
        "rows": environment_rows(cast(OrganisationQuerySet, page.object_list), access=access),
        "pending": pending_deletions(request, access),
    }
    return render(request, "studio/overview.html", context)
