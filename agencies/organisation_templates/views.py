"""Pages of the templates of an organisation: the list, one of them, a new one, and the question before deletion."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.stepup import ask_to_step_up, has_passed_mfa, is_stepped_up, step_up_required
from agencies.models import OrganisationTemplate
from agencies.organisation_templates import services
from agencies.organisation_templates.forms import TemplateForm, initial_of
from agencies.organisation_templates.queries import people_below, templates_at
from agencies.organisation_templates.values import TemplateValues
from environments import granting
from environments.access import in_organisation
from environments.choices import Kind, Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.clock import database_now
from web.methods import require_safe_or_post
from web.undo import say_done, undo_at

ABOVE_ENVIRONMENTS = [kind for kind in Kind if kind != Kind.ENVIRONMENT]
guarded = in_organisation(requires=Permission.CREATE, kinds=ABOVE_ENVIRONMENTS)


@require_safe
@guarded
def list_templates(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List the organisation's own templates, with what each has."""
    templates = [(template, TemplateValues.of(template)) for template in templates_at(organisation)]
    return render(
        request,
        "agencies/organisation_templates/list.html",
        {"organisation": organisation, "templates": templates},
    )


@require_safe_or_post
@guarded
def create_template(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show the form of a new template, and store it on POST."""
    initial = initial_of(TemplateValues(""))
    form = TemplateForm(request.POST or None, roles=granting.roles_within(request.permissions), initial=initial)
    if form.is_valid():
        if not is_stepped_up(request):
            return ask_to_step_up(request)
        try:
            check_own_factor(request, form.values)
            services.create_template(organisation, form.values, by=request.caller, now=database_now())
        except ValidationError as error:
            form.add_error(None, error)
        else:
            messages.success(request, _("The template %(name)s was created.") % {"name": form.values.name})
            return redirect("agencies:templates", organisation.slug)
    context = {"organisation": organisation, "form": form, "template": None}
    return render(request, "agencies/organisation_templates/template.html", context)


@require_safe_or_post
@guarded
def edit_template(request: StudioRequest, organisation: Organisation, pk: int) -> HttpResponse:
    """Show a template, and change it on POST."""
    template = get_object_or_404(templates_at(organisation), pk=pk)
    before = TemplateValues.of(template)
    form = TemplateForm(
        request.POST or None, roles=granting.roles_within(request.permissions), initial=initial_of(before)
    )
    if form.is_valid():
        if not is_stepped_up(request):
            return ask_to_step_up(request)
        seen = request.POST.get("seen")
        try:
            check_own_factor(request, form.values)
            is_changed = services.change_template(
                template, form.values, by=request.caller, now=database_now(), seen=seen
            )
        except ValidationError as error:
            form.add_error(None, error)
        else:
            say_changed(request, organisation, pk, before, is_changed=is_changed)
            return redirect("agencies:templates", organisation.slug)
    context = {"organisation": organisation, "form": form, "template": template, "state": before.as_json()}
    return render(request, "agencies/organisation_templates/template.html", context | gone_of(template))


def gone_of(template: OrganisationTemplate) -> dict[str, Any]:
    """Return the people of a template who are no members any more, and so get nothing."""
    members = {member.user_id: member.user for member in template.members.all()}
    there = people_below(template.organisation, now=database_now()).filter(pk__in=members).values_list("pk", flat=True)
    return {"gone": [members[pk] for pk in members.keys() - set(there)]}


def check_own_factor(request: StudioRequest, *values: TemplateValues) -> None:
    """Raise ``ValidationError`` for values that turn MFA on, in a session without a second factor."""
    if any(each.mfa.is_on for each in values) and not has_passed_mfa(request):
        raise ValidationError(_("Pass a second factor yourself before you require it of others."), code="own_factor")


def say_changed(
    request: StudioRequest, organisation: Organisation, pk: int, before: TemplateValues, *, is_changed: bool
) -> None:
    """Say what a saved form did, with the Undo of a change."""
    after = TemplateValues.of(templates_at(organisation).get(pk=pk))
    fields = initial_of(before)
    undo = undo_at("agencies:template", organisation.slug, pk, seen=after.as_json(), fields=fields)
    text = _("The template %(name)s was changed. What was created by it stays as it is.")
    say_done(request, text % {"name": after.name}, undo if is_changed else None)


@require_safe_or_post
@guarded
@step_up_required
def delete_template(request: StudioRequest, organisation: Organisation, pk: int) -> HttpResponse:
    """Ask whether to delete a template; on POST delete it."""
    template = get_object_or_404(templates_at(organisation), pk=pk)
    if request.method != "POST":
        context = {"organisation": organisation, "template": template, "values": TemplateValues.of(template)}
        return render(request, "agencies/organisation_templates/delete_template.html", context)
    services.delete_template(template, by=request.caller)
    messages.success(request, _("The template %(name)s was deleted.") % {"name": template.name})
    return redirect("agencies:templates", organisation.slug)
