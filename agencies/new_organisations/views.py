"""Pages on which organisations are created: one by a form, several by a list after a preview of each line."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.stepup import ask_to_step_up, is_stepped_up
from agencies.models import OrganisationTemplate
from agencies.new_organisations import services
from agencies.new_organisations.forms import ListForm, NewOrganisationForm
from agencies.new_organisations.lines import Line, read_lines
from agencies.organisation_templates.queries import templates_for
from agencies.organisation_templates.values import TemplateValues
from agencies.organisation_templates.views import check_own_factor
from environments.access import in_organisation
from environments.choices import Kind, Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from environments.tree.services import kinds_below
from web.clock import database_now
from web.methods import require_safe_or_post
from web.versions import version_of

ABOVE_ENVIRONMENTS = [kind for kind in Kind if kind != Kind.ENVIRONMENT]


guarded = in_organisation(requires=Permission.CREATE, kinds=ABOVE_ENVIRONMENTS)


@require_safe_or_post
@guarded
def create(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show the form of a new organisation below this one, and create it on POST."""
    kinds = kinds_below(organisation, by=request.caller)
    templates = templates_for([organisation], by=request.caller)
    form = NewOrganisationForm(request.POST or None, kinds=kinds, templates=templates)
    if form.is_valid():
        template: OrganisationTemplate | None = form.cleaned_data.get("template")
        if template is not None and not is_stepped_up(request):
            return ask_to_step_up(request)
        try:
            if template is not None:
                check_own_factor(request, TemplateValues.of(template))
            made = services.create_below(organisation, by=request.caller, now=database_now(), **form.cleaned_data)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            messages.success(request, _("%(name)s was created.") % {"name": made.name})
            return redirect("environments:organisation", made.slug)
    context = {"organisation": organisation, "form": form}
    return render(request, "agencies/new_organisations/create.html", context)


@require_safe_or_post
@guarded
def create_list(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show what each line of a list would create; on the second POST, of the list that was shown, create them all."""
    form = ListForm(request.POST or None)
    lines = _lines_of(form)
    seen = version_of(request.POST.get("lines", "").splitlines())
    if lines and request.POST.get("do") == "create" and request.POST.get("seen") == seen:
        if any(line.typed_template for line in lines) and not is_stepped_up(request):
            return ask_to_step_up(request)
        try:
            made = create_lines(request, organisation, lines)
        except services.ListRefused:
            pass  # the lines have the faults
        except ValidationError as error:
            form.add_error("lines", error.messages)
        else:
            messages.success(request, _created(len(made)))
            return redirect("environments:organisation", organisation.slug)
    elif lines:
        services.check_lines(lines, organisation, by=request.caller)
    context = {
        "organisation": organisation,
        "form": form,
        "lines": lines,
        "fault_count": sum(bool(line.faults) for line in lines),
        "seen": seen,
        "kinds": kinds_below(organisation, by=request.caller),
        "templates": templates_for([organisation], by=request.caller),
    }
    return render(request, "agencies/new_organisations/create_list.html", context)


@transaction.atomic
def create_lines(request: StudioRequest, organisation: Organisation, lines: list[Line]) -> list[Organisation]:
    """Create the organisations of a list; raises the errors of the service and of ``check_own_factor``."""
    made = services.create_lines(lines, organisation, by=request.caller, now=database_now())
    check_own_factor(request, *(TemplateValues.of(line.template) for line in lines if line.template is not None))
    return made


def _created(count: int) -> str:
    return ngettext("%(n)s organisation was created.", "%(n)s organisations were created.", count) % {"n": count}


def _lines_of(form: ListForm) -> list[Line]:
    """Return the lines of a form that was sent; none, and the error in the form, for a list that cannot be read."""
    if not form.is_valid():
        return []
    try:
        return read_lines(form.cleaned_data["lines"])
    except ValidationError as error:
        form.add_error("lines", error)
        return []
