"""Has the purge, or the proof of what it left, given no sign of life for an hour?"""

from datetime import datetime, timedelta

from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Min

from archival.models import PurgeRun

SILENT_AFTER = timedelta(hours=1)


def is_silent(*, now: datetime) -> bool:
    """Tell whether no run of the purge has ended well for more than an hour; switched off counts like broken."""
    last = PurgeRun.objects.good().first()
    since = last.started_at if last else installed_at()
    return since is not None and now - since > SILENT_AFTER


def is_outdated(checked_at: datetime | None, *, now: datetime) -> bool:
    """Tell whether the proof was not brought up to date for more than an hour: what it calls on time may be late."""
    return checked_at is not None and now - checked_at > SILENT_AFTER


def installed_at() -> datetime | None:
    """Return since when there is a database to purge: a purge that never ran at all is silent too."""
    applied = MigrationRecorder.Migration.objects.filter(app="archival")
    at: datetime | None = applied.aggregate(at=Min("applied"))["at"]
    return at
