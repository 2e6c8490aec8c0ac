"""Find out whether the last good run of the purge, or the last check of the proof, is more than an hour ago."""

from datetime import datetime, timedelta
from typing import Any

from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Min, QuerySet

from archival.models import PurgeRun
from web.clock import MOST_APART, is_ahead

SILENT_AFTER = timedelta(hours=1)


def is_silent(*, now: datetime) -> bool:
    """Return whether the last good run of the purge began more than an hour ago.

    Before the first good run, the time counts from the installation. A run that a wrong clock dated in the future does
    not count.
    """
    last = last_good_run(now=now)
    return is_silent_since(last.started_at if last else installed_at(), now=now)


def is_silent_since(since: datetime | None, *, now: datetime) -> bool:
    """Return whether ``since``, the start of the last good run or the installation, is more than an hour ago."""
    return since is not None and (now - since > SILENT_AFTER or is_ahead(since, now=now))


def last_good_run(*, now: datetime) -> PurgeRun | None:
    return good_runs(now=now).first()


def good_runs(*, now: datetime) -> QuerySet[PurgeRun]:
    """Return the good runs of the purge, the latest first."""
    return PurgeRun.objects.ended_well().filter(started_at__lte=now + MOST_APART)


def is_outdated(checked_at: datetime | None, *, now: datetime) -> bool:
    """Return whether the proof is more than an hour old, or dated in the future, so that nobody should rely on it."""
    return checked_at is not None and (now - checked_at > SILENT_AFTER or is_ahead(checked_at, now=now))


def installed_at() -> datetime | None:
    """Return when the database was installed, or ``None`` before its migrations have run."""
    at: datetime | None = installed().aggregate(at=Min("applied"))["at"]
    return at


def installed() -> QuerySet[Any]:
    """Return the migrations that installed the tables of this room."""
    applied: QuerySet[Any] = MigrationRecorder.Migration.objects.filter(app="archival")
    return applied
