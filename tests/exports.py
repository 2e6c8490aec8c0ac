"""Exports of environments as rows, without the files that the task would write."""

from datetime import datetime, timedelta
from typing import Any

from archival.choices import ExportState
from archival.models import EnvironmentExport, ExportPart
from environments.models import Organisation

COUNTS = {
    "conversations": 1371,
    "messages": 18_500,
    "variables": 4_120,
    "attachments": 12,
    "contacts": 900,
    "files": 11,
    "bytes": 1_234_567,
}


def an_export(
    environment: Organisation,
    state: str = ExportState.RUNNING,
    *,
    now: datetime,
    label: str = "ada@acme.test",
    **fields: Any,
) -> EnvironmentExport:
    is_running = state == ExportState.RUNNING
    return EnvironmentExport.objects.create(
        environment=environment,
        environment_label=environment.name,
        requested_at=now,
        requested_label=label,
        state=state,
        counted=COUNTS,
        counts=dict.fromkeys(COUNTS, 0) if is_running else COUNTS,
        worked_at=now,
        ended_at=None if is_running else now,
        **fields,
    )


def a_ready_export(environment: Organisation, *, key: str, now: datetime, **fields: Any) -> EnvironmentExport:
    """Make an export that is ready, with one file of this key."""
    export = an_export(environment, ExportState.READY, now=now, expires_at=now + timedelta(days=7), **fields)
    ExportPart.objects.create(export=export, number=1, key=key, size=1_234_567)
    return export
