"""Has the purge, or the proof of what it left, given no sign of life for an hour?"""

from datetime import datetime, timedelta

from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Min

from archival.models import PurgeRun
from web.clock import MOST_APART, is_ahead

SILENT_AFTER = timedelta(hours=1)


def is_silent(*, now: datetime) -> bool:
    """Tell whether no run of the purge has ended well for more than an hour; switched off counts like broken.

    A run that began in the future, which a wrong clock left behind, is no sign of life.
    """
    last = last_good_run(now=now)
    since = last.started_at if last else installed_at()
    return since is not None and (now - since > SILENT_AFTER or is_ahead(since, now=now))


def last_good_run(*, now: datetime) -> PurgeRun | None:
    return PurgeRun.objects.good().filter(started_at__lte=now + MOST_APART).first()


def is_outdated(checked_at: datetime | None, *, now: datetime) -> bool:
    """Tell whether the proof is of no use: more than an hour old, so that what it calls on time may be late, or of a
    time that is still to come.
    """
    return checked_at is not None and (now - checked_at > SILENT_AFTER or is_ahead(checked_at, now=now))


def installed_at() -> datetime | None:
    """Return since when there is a database to purge: a purge that never ran at all is silent too."""
    applied = MigrationRecorder.Migration.objects.filter(app="archival")
    at: datetime | None = applied.aggregate(at=Min("applied"))["at"]
    return at
