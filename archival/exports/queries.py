"""Query the exports of environments."""

from django.db.models import Q, QuerySet

from archival.choices import ExportState
from archival.models import EnvironmentExport
from environments.models import Organisation


def exports_of(organisation: Organisation) -> QuerySet[EnvironmentExport]:
    """Return the exports of environments at or below the organisation, also of those that were deleted there."""
    below = Organisation.objects.below(organisation).values("pk")  # no join: it would drop those of deleted ones
    return EnvironmentExport.objects.filter(Q(environment__in=below) | Q(parent__in=below))


def running_export_of(environment: Organisation) -> QuerySet[EnvironmentExport]:
    return EnvironmentExport.objects.filter(environment=environment, state=ExportState.RUNNING)


def latest_export(environment: Organisation) -> EnvironmentExport | None:
    """Return the export of the environment that is running or ready; the running one, if there are both."""
    alive = EnvironmentExport.objects.filter(
        environment=environment, state__in=(ExportState.RUNNING, ExportState.READY)
    )
    return alive.order_by("-pk").first()
