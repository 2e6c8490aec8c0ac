"""Pages of exports of environments: start one, follow it, download its parts, and delete it."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.stepup import step_up_required
from archival.choices import ExportEnd
from archival.exports import services
from archival.exports.queries import exports_of
from archival.models import EnvironmentExport
from audit.services import record_read
from conversations.export.environments import count_readable
from environments.access import in_organisation
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.clock import database_now
from web.methods import require_safe_or_post
from web.paging import page_of

PAGE_SIZE = 50
MOST_ENVIRONMENTS = 100  # that one request exports
SANDBOX = {"Content-Security-Policy": "default-src 'none'; sandbox"}


@require_safe
@in_organisation(requires=Permission.EXPORT)
def list_exports(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List the exports of environments at or below the organisation, with the form that starts one."""
    found = exports_of(organisation).order_by("-pk")
    count = Organisation.objects.below(organisation).environments().live().count()
    context = {
        "organisation": organisation,
        "page": page_of(found, request.GET.get("page"), size=PAGE_SIZE),
        "days": settings.EXPORT_DAYS,
        "environment_count": count,
        "most": MOST_ENVIRONMENTS,
        "can_start": 0 < count <= MOST_ENVIRONMENTS,
    }
    return render(request, "archival/exports/list.html", context)


@require_POST
@in_organisation(requires=Permission.EXPORT)
@step_up_required
def start_exports(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """Start an export of every environment at or below the organisation."""
    environments = list(Organisation.objects.below(organisation).environments().live()[: MOST_ENVIRONMENTS + 1])
    try:
        if len(environments) > MOST_ENVIRONMENTS:
            text = _("At most %(most)s environments are exported at once. Choose an organisation further below.")
            raise ValidationError(text % {"most": MOST_ENVIRONMENTS}, code="too_many")
        exports = services.request_exports(environments, by=request.caller, now=database_now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("archival:exports", organisation.slug)
    if len(exports) == 1:
        return redirect("archival:export", organisation.slug, exports[0].uuid)
    messages.success(request, _("The exports have begun. A mail tells you when they are ready."))
    return redirect("archival:exports", organisation.slug)


@require_safe
@in_organisation(requires=Permission.EXPORT)
def show_export(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    """Show an export and its parts; while it runs, htmx asks for this section every two seconds."""
    export = find_export(organisation, uuid)
    environment: Organisation | None = organisation
    if export.environment_id != organisation.pk:
        environment = Organisation.objects.filter(pk=export.environment_id).first()
    now_there = None
    if export.is_ready and environment is not None:
        now_there = count_readable(environment, now=database_now(), kinds=("conversations", "messages"))
    context = {
        "organisation": organisation,
        "export": export,
        "parts": list(export.parts.order_by("number")),
        "days": settings.EXPORT_DAYS,
        "exists": environment is not None,
        "now_there": now_there,
    }
    template = "archival/exports/export.html" + ("#progress" if request.htmx else "")
    return render(request, template, context)


@require_safe
@in_organisation(requires=Permission.EXPORT)
@step_up_required
def download_part(request: StudioRequest, organisation: Organisation, uuid: UUID, number: int) -> HttpResponse:
    """Return one zip file of an export that is ready; 404 once its files are deleted."""
    export = find_export(organisation, uuid)
    part = get_object_or_404(export.parts, number=number) if export.is_ready else None
    if part is None or export.expires_at is None or export.expires_at <= database_now():
        raise Http404
    try:
        opened = default_storage.open(part.key)
    except FileNotFoundError as error:
        raise Http404 from error
    record_read("environment_export.downloaded", services.place_of(export), by=request.caller, subject=export)
    name = f"export-{export.requested_at:%Y-%m-%d}-{export.uuid.hex[:8]}-{number}.zip"
    return FileResponse(opened, as_attachment=True, filename=name, headers=SANDBOX)  # type: ignore[return-value]  # is a response too


@require_safe_or_post
@in_organisation(requires=Permission.EXPORT)
@step_up_required
def withdraw_export(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    """Ask whether to delete an export, and delete it on POST; a running one is stopped."""
    export = find_export(organisation, uuid)
    if request.method == "POST":
        mine = EnvironmentExport.objects.filter(pk=export.pk)
        if services.withdraw_exports(mine, ExportEnd.PERSON, by=request.caller, now=database_now()):
            messages.success(request, _("The export is deleted. Its files leave storage within the hour."))
    elif export.is_running or export.is_ready:
        return render(request, "archival/exports/withdraw.html", {"organisation": organisation, "export": export})
    return redirect("archival:export", organisation.slug, uuid)


def find_export(organisation: Organisation, uuid: UUID) -> EnvironmentExport:
    found: EnvironmentExport = get_object_or_404(exports_of(organisation).select_related("parent"), uuid=uuid)
    return found
