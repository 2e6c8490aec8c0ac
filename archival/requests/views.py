"""Pages on which people erase a contact, or delete an organisation with all its data."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.stepup import step_up_required
from archival.choices import DeletionState
from archival.evidence import ledger
from archival.exports.queries import latest_export
from archival.holds import services as holds
from archival.models import Erasure, Hold
from archival.policy.forms import TypedNameForm
from archival.requests import deletion, erasure
from conversations.models import Contact
from environments.access import RoleTooLow, in_environment, in_organisation
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.clock import database_now
from web.methods import require_safe_or_post
from web.paging import page_of

PAGE_SIZE = 50


@require_safe_or_post
@in_environment(requires=Permission.ERASE)
@step_up_required
def erase_contact(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    now = database_now()
    contact = Contact.objects.readable(now, environment=organisation).filter(uuid=uuid).first()
    if contact is None:  # the first of two clicks can have erased it
        receipt = get_object_or_404(Erasure, environment=organisation, contact_uuid=uuid)
        return redirect("archival:erasure", organisation.slug, receipt.uuid)
    form = TypedNameForm(request.POST or None, name=str(contact))
    if form.is_valid():
        try:
            receipt = erasure.erase_contact(contact, by=request.caller, now=now)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return redirect("archival:erase-contact", organisation.slug, uuid)
        messages.success(request, _("The contact has been erased. This is the receipt."))
        return redirect("archival:erasure", organisation.slug, receipt.uuid)
    context = {
        "organisation": organisation,
        "contact": contact,
        "form": form,
        "counts": erasure.count_contact(contact),
        "is_held": holds.is_held(organisation, now=now, contact=contact),
        "can_export": Permission.EXPORT in request.permissions,
        "export": latest_export(organisation),
    }
    return render(request, "archival/requests/erase_contact.html", context)


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def list_erased(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List erased contacts and deleted organisations, at or below this organisation."""
    page = page_of(ledger.erasures_of(organisation), request.GET.get("page"), size=PAGE_SIZE)
    context = {
        "organisation": organisation,
        "page": page,
        "deletions": list(ledger.deletions_below(organisation)[:PAGE_SIZE]),
        "can_delete": Permission.DELETE in request.permissions,
    }
    return render(request, "archival/requests/erased.html", context)


@require_safe
@in_organisation(requires=Permission.READ_AUDIT_LOG)
def show_erasure(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    found = get_object_or_404(ledger.erasures_of(organisation), uuid=uuid)
    return render(request, "archival/requests/erasure.html", {"organisation": organisation, "erasure": found})


@require_safe_or_post
@in_organisation(requires=Permission.DELETE)
@step_up_required
def delete_organisation(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Show counts of what would be deleted, and begin the deletion once the organisation's name is typed."""
    now = database_now()
    form = TypedNameForm(request.POST or None, name=organisation.name)
    if form.is_valid():
        try:
            begun = deletion.request_deletion(organisation, by=request.caller, now=now)
        except ValidationError as error:
            form.add_error(None, error.messages)
        else:
            return redirect("deletion", begun.uuid)
    below = Organisation.objects.below(organisation).exclude(pk=organisation.pk)
    context = {
        "organisation": organisation,
        "form": form,
        "counts": deletion.count_organisation(organisation),
        "hold_count": Hold.objects.active(now).filter(environment=organisation).count(),
        "below": list(below[:20]),
        "below_count": below.count(),
        "can_export": Permission.EXPORT in request.permissions,
        "export": latest_export(organisation),
    }
    return render(request, "archival/requests/delete_organisation.html", context)


@require_safe
def show_deletion(request: StudioRequest, uuid: UUID) -> HttpResponse:
    """Show the progress and the receipt of a deletion; while it runs, htmx asks for this section every two seconds."""
    found, can_act = deletion.find_deletion(request.caller, uuid)
    context = {
        "deletion": found,
        "run": found.run,
        "counts": found.run.counts,
        "can_act": can_act,
        "form": TypedNameForm(name=found.organisation_label),
        "left": max(0, found.row_count - found.run.rows),
        "can_reopen": can_act and (not found.was_suspended or request.caller.is_superuser),
    }
    template = "archival/requests/deletion.html" + ("#progress" if request.htmx else "")
    return render(request, template, context)


def check_typed_name(request: StudioRequest, name: str) -> None:
    """Raise ``ValidationError`` unless the name was typed as it is shown."""
    form = TypedNameForm(request.POST, name=name)
    if not form.is_valid():
        raise ValidationError(form.errors.as_data()["typed_name"])


@require_POST
@step_up_required
def change_deletion(request: StudioRequest, uuid: UUID) -> HttpResponse:
    """Stop a running deletion, or continue or abandon a stopped one."""
    found, can_act = deletion.find_deletion(request.caller, uuid)
    if not can_act:
        raise RoleTooLow
    now = database_now()
    try:
        match request.POST.get("do"):
            case "stop":
                deletion.stop_deletion(found, by=request.caller, now=now)
            case "reopen":
                deletion.reopen_organisation(found, by=request.caller, now=now)
                messages.success(request, _("The organisation is open again, with what is left in it."))
            case "continue" if found.state == DeletionState.STOPPED:
                check_typed_name(request, found.organisation_label)
                deletion.request_deletion(found.organisation, by=request.caller, now=now)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("deletion", uuid)
