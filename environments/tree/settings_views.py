"""The general settings of an organisation: its name, and the roles of people who join by its domains."""

from datetime import datetime

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.stepup import ask_to_step_up, is_stepped_up, step_up_required
from audit.services import has_recorded_others
from environments import granting
from environments.access import in_organisation
from environments.choices import Permission, are_sensitive, labels_of
from environments.domains import confirmations
from environments.domains import services as domains
from environments.domains.forms import AutoInviteForm, NewDomainForm
from environments.models import ApiKey, Organisation
from environments.requests import StudioRequest
from environments.tree import services
from environments.tree.forms import NameForm, SlugForm
from web.methods import require_safe_or_post
from web.undo import Undo, say_done, undo_at
from web.versions import ChangedMeanwhile


@require_safe_or_post
@in_organisation(requires=Permission.CHANGE_SETTINGS)
def edit_settings(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show the general settings, and change one of them."""
    do = request.POST.get("do")
    name = NameForm(request.POST if do == "name" else None, initial={"name": organisation.name})
    grantable = granting.roles_within(request.permissions)
    initial = {"roles": organisation.auto_invite_roles}
    auto = AutoInviteForm(request.POST if do == "auto-invite" else None, roles=grantable, initial=initial)
    if save_name(request, organisation, name, view="environments:settings"):
        return redirect("environments:settings", organisation.slug)
    if auto.is_valid():
        at_stake = [*auto.cleaned_data["roles"], *organisation.auto_invite_roles]
        if are_sensitive(at_stake) and not is_stepped_up(request):
            return ask_to_step_up(request)
        before, now = organisation.auto_invite_roles, timezone.now()
        try:
            domains.set_auto_invite_roles(
                organisation,
                roles=auto.cleaned_data["roles"],
                by=request.caller,
                now=now,
                seen=request.POST.get("seen"),
            )
        except ChangedMeanwhile as error:
            auto.add_error(None, error)
        else:
            undo = _undo_auto_invite(organisation, before, since=now)
            say_done(request, _("The auto-invite roles were changed."), undo)
            return redirect("environments:settings", organisation.slug)
    context = {
        "organisation": organisation,
        "name": name,
        "auto": auto if set(organisation.auto_invite_roles) <= set(grantable) else None,
        "auto_invite_roles": labels_of(organisation.auto_invite_roles),
        "new_domain": NewDomainForm(),
        "domains": list(organisation.domains.order_by("domain")),
        "exceeds_member": confirmations.exceeds_member(organisation.auto_invite_roles),
        "can_delete": Permission.DELETE in request.permissions,
        "can_export": Permission.EXPORT in request.permissions,
    }
    return render(request, "environments/tree/settings.html", context)


def _undo_auto_invite(organisation: Organisation, before: list[str], *, since: datetime) -> Undo | None:
    """Return the Undo of changed auto-invite roles; None if a domain has to be confirmed since, which would stay so."""
    roles = organisation.auto_invite_roles
    if before == roles or has_recorded_others("auto_invite.", since=since):
        return None
    fields = {"do": "auto-invite", "roles": before}
    return undo_at("environments:settings", organisation.slug, seen=roles, fields=fields)


def save_name(request: StudioRequest, organisation: Organisation, form: NameForm, *, view: str) -> bool:
    """Save the display name of a form that was sent, and return whether that is done; else the form has the error.

    ``view`` is where the form stands.
    """
    if not form.is_valid():
        return False
    before = organisation.name
    try:
        services.rename(organisation, name=form.cleaned_data["name"], by=request.caller, seen=request.POST.get("seen"))
    except ChangedMeanwhile as error:
        form.add_error(None, error)
        return False
    fields, name = {"do": request.POST["do"], "name": before}, organisation.name
    undo = undo_at(view, organisation.slug, seen=name, fields=fields)
    say_done(request, _("The display name was changed."), undo if name != before else None)
    return True


@require_safe_or_post
@in_organisation(requires=Permission.DELETE)
@step_up_required
def change_slug(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Change the short name, after saying what stops at the address before."""
    before = organisation.slug
    form = SlugForm(request.POST or None, initial={"slug": before})
    if form.is_valid():
        slug, seen = form.cleaned_data["slug"], request.POST.get("seen")
        try:
            services.change_slug(organisation, slug=slug, by=request.caller, now=timezone.now(), seen=seen)
        except ValidationError as error:
            form.add_error(None if isinstance(error, ChangedMeanwhile) else "slug", error.messages)
        else:
            messages.success(request, _("The short name is %(slug)s.") % {"slug": organisation.slug})
            return redirect("environments:organisation", organisation.slug)
    context = {
        "organisation": organisation,
        "form": form,
        "key_count": ApiKey.objects.filter(organisation=organisation, revoked_at=None).count(),
        "reserved": list(organisation.reserved_slugs.order_by("slug").values_list("slug", flat=True)),
    }
    return render(request, "environments/tree/change_slug.html", context)
