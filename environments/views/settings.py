"""The general settings of an organisation: its name, its domains, and what people get who sign themselves up."""

from django.contrib import messages
from django.core.exceptions import BadRequest, ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.stepup import ask_to_step_up, is_stepped_up, step_up_required
from accounts.throttle import domain_checks_of, use_up
from environments import confirmations, domains, members, roster, services
from environments.access import in_organisation
from environments.choices import DnsAnswer, Permission, are_sensitive
from environments.forms import AutoInviteForm, NameForm
from environments.models import Organisation, OrganisationDomain
from environments.requests import StudioRequest


@require_http_methods(["GET", "POST"])
@in_organisation(may=Permission.CHANGE_SETTINGS)
def edit_settings(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show the general settings, and change one of them."""
    do = request.POST.get("do")
    name = NameForm(request.POST if do == "name" else None, initial={"name": organisation.name})
    grantable = members.grantable_roles(request.user, organisation)
    initial = {"roles": organisation.auto_invite_roles}
    auto = AutoInviteForm(request.POST if do == "auto-invite" else None, roles=grantable, initial=initial)
    if name.is_valid():
        services.rename(organisation, name=name.cleaned_data["name"], by=request.user)
        messages.success(request, _("The display name was changed."))
        return redirect("environments:settings", organisation.slug)
    if auto.is_valid():
        at_stake = [*auto.cleaned_data["roles"], *organisation.auto_invite_roles]
        if are_sensitive(at_stake) and not is_stepped_up(request):
            return ask_to_step_up(request)
        services.set_auto_invite_roles(
            organisation, roles=auto.cleaned_data["roles"], by=request.user, now=timezone.now()
        )
        messages.success(request, _("The auto-invite roles were changed."))
        return redirect("environments:settings", organisation.slug)
    context = {
        "organisation": organisation,
        "name": name,
        "auto": auto if set(organisation.auto_invite_roles) <= set(grantable) else None,
        "auto_invite_roles": roster.labels_of(organisation.auto_invite_roles),
        "domains": list(organisation.domains.order_by("domain")),
        "exceeds_member": confirmations.exceeds_member(organisation.auto_invite_roles),
        "may_delete": Permission.DELETE in request.permissions,
    }
    return render(request, "environments/settings.html", context)


@require_POST
@in_organisation(may=Permission.CHANGE_SETTINGS)
def check_domain(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Look for the record of a domain now."""
    found = _domain(request, organisation)
    try:
        use_up(domain_checks_of(organisation.pk))
        answer = domains.check(found, by=request.user, now=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        if answer == DnsAnswer.FOUND:
            messages.success(request, _("The record is there: %(domain)s counts.") % {"domain": found.readable})
        else:
            messages.warning(request, f"{found.readable}: {answer.label}")
    return redirect("environments:settings", organisation.slug)


@require_POST
@in_organisation(may=Permission.CHANGE_SETTINGS)
@step_up_required
def change_domains(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Add, remove, confirm, or vouch for a domain."""
    do, now = request.POST.get("do"), timezone.now()
    try:
        if do == "add":
            found = domains.add_domain(organisation, domain=request.POST.get("domain", ""), by=request.user, now=now)
            messages.success(
                request, _("%(domain)s was added. It counts once it is proven.") % {"domain": found.readable}
            )
        else:
            found = _domain(request, organisation)
            if do == "vouch":
                domains.vouch_for(found, by=request.user, now=now)
                messages.success(request, _("%(domain)s counts from now on.") % {"domain": found.readable})
            elif do == "confirm":
                confirmations.confirm(found, by=request.user, now=now)
                messages.success(request, _("%(domain)s was confirmed.") % {"domain": found.readable})
            elif do == "remove":
                domains.remove_domain(found, by=request.user, now=now)
                messages.success(request, _("%(domain)s was removed.") % {"domain": found.readable})
            else:
                raise BadRequest("do")
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("environments:settings", organisation.slug)


def _domain(request: StudioRequest, organisation: Organisation) -> OrganisationDomain:
    number = request.POST.get("domain", "")
    number = number if number.isascii() and number.isdigit() and len(number) < 19 else "0"
    return get_object_or_404(organisation.domains.select_related("organisation"), pk=int(number))
