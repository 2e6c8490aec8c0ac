"""The general settings of an organisation: its name, and the roles of people who join by its domains."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.stepup import ask_to_step_up, is_stepped_up
from environments import granting, roster
from environments.access import in_organisation
from environments.choices import Permission, are_sensitive
from environments.domains import confirmations
from environments.domains import services as domains
from environments.domains.forms import AutoInviteForm, NewDomainForm
from environments.models import Organisation
from environments.requests import StudioRequest
from environments.tree import services
from environments.tree.forms import NameForm
from web.versions import ChangedMeanwhile


@require_http_methods(["GET", "POST"])
@in_organisation(requires=Permission.CHANGE_SETTINGS)
def edit_settings(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show the general settings, and change one of them."""
    do = request.POST.get("do")
    name = NameForm(request.POST if do == "name" else None, initial={"name": organisation.name})
    grantable = granting.roles_within(request.permissions)
    initial = {"roles": organisation.auto_invite_roles}
    auto = AutoInviteForm(request.POST if do == "auto-invite" else None, roles=grantable, initial=initial)
    if save_name(request, organisation, name):
        return redirect("environments:settings", organisation.slug)
    if auto.is_valid():
        at_stake = [*auto.cleaned_data["roles"], *organisation.auto_invite_roles]
        if are_sensitive(at_stake) and not is_stepped_up(request):
            return ask_to_step_up(request)
        try:
            domains.set_auto_invite_roles(
                organisation,
                roles=auto.cleaned_data["roles"],
                by=request.caller,
                now=timezone.now(),
                seen=request.POST.get("seen"),
            )
        except ChangedMeanwhile as error:
            auto.add_error(None, error)
        else:
            messages.success(request, _("The auto-invite roles were changed."))
            return redirect("environments:settings", organisation.slug)
    context = {
        "organisation": organisation,
        "name": name,
        "auto": auto if set(organisation.auto_invite_roles) <= set(grantable) else None,
        "auto_invite_roles": roster.labels_of(organisation.auto_invite_roles),
        "new_domain": NewDomainForm(),
        "domains": list(organisation.domains.order_by("domain")),
        "exceeds_member": confirmations.exceeds_member(organisation.auto_invite_roles),
        "can_delete": Permission.DELETE in request.permissions,
    }
    return render(request, "environments/tree/settings.html", context)


def save_name(request: StudioRequest, organisation: Organisation, form: NameForm) -> bool:
    """Save the display name of a form that was sent, and return whether that is done; else the form has the error."""
    if not form.is_valid():
        return False
    try:
        services.rename(organisation, name=form.cleaned_data["name"], by=request.caller, seen=request.POST.get("seen"))
    except ChangedMeanwhile as error:
        form.add_error(None, error)
        return False
    messages.success(request, _("The display name was changed."))
    return True
