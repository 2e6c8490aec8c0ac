"""Add, check, confirm and remove the e-mail domains of an organisation."""

from django.contrib import messages
from django.core.exceptions import BadRequest, ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.stepup import step_up_required
from accounts.throttle.budgets import domain_checks_of, use_up
from environments.access import in_organisation
from environments.choices import DnsAnswer, Permission
from environments.domains import confirmations
from environments.domains import services as domains
from environments.models import Organisation, OrganisationDomain
from environments.requests import StudioRequest
from web.methods import require_safe_or_post
from web.typed import whole_number


@require_POST
@in_organisation(requires=Permission.CHANGE_SETTINGS)
def check_domain(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Check the DNS record of a domain now."""
    domain = _domain(request, organisation)
    try:
        use_up(domain_checks_of(organisation.pk))
        answer = domains.check_record(domain, by=request.caller, now=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        if answer == DnsAnswer.FOUND:
            messages.success(request, _("The record was found. %(domain)s is verified.") % {"domain": domain.readable})
        else:
            messages.warning(request, f"{domain.readable}: {answer.label}")
    return redirect("environments:settings", organisation.slug)


@require_safe_or_post
@in_organisation(requires=Permission.CHANGE_SETTINGS)
@step_up_required
def change_domains(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Ask whether to remove a domain; on POST add, remove or confirm one, or verify it without a record."""
    if request.method != "POST":
        context = {"organisation": organisation, "domain": _domain(request, organisation)}
        return render(request, "environments/domains/remove_domain.html", context)
    do, now = request.POST.get("do"), timezone.now()
    try:
        if do == "add":
            domain = domains.add_domain(organisation, domain=request.POST.get("domain", ""), by=request.caller, now=now)
            messages.success(
                request, _("%(domain)s was added. Add its DNS record to verify it.") % {"domain": domain.readable}
            )
        else:
            domain = _domain(request, organisation)
            if do == "vouch":
                domains.verify_without_record(domain, by=request.caller, now=now)
                messages.success(request, _("%(domain)s is verified.") % {"domain": domain.readable})
            elif do == "confirm":
                confirmations.confirm_domain(domain, by=request.caller, now=now, seen=request.POST.get("seen"))
                messages.success(request, _("%(domain)s was confirmed.") % {"domain": domain.readable})
            elif do == "remove":
                domains.remove_domain(domain, by=request.caller, now=now)
                messages.success(request, _("%(domain)s was removed.") % {"domain": domain.readable})
            else:
                raise BadRequest("do")
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("environments:settings", organisation.slug)


def _domain(request: StudioRequest, organisation: Organisation) -> OrganisationDomain:
    """Return the organisation's domain that the form or the address names, or raise ``Http404``."""
    number = whole_number((request.POST or request.GET).get("domain", "")) or 0
    return get_object_or_404(organisation.domains.select_related("organisation"), pk=number)
