"""After more than a day without a run the clock may have leapt: runs go on once a person says that it is right."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from archival.choices import RunState
from archival.models import PurgeRun

LONGEST_GAP = timedelta(hours=24)


@dataclass(frozen=True)
class Gap:
    """The time between the last run and one that is to start now, too long to be believed without a person."""

    last_run_at: datetime
    now: datetime

    @property
    def words(self) -> str:
        return (
            f"The last run was of {self.last_run_at:%Y-%m-%d %H:%M} UTC, and now it is {self.now:%Y-%m-%d %H:%M} UTC. "
            "Nothing is deleted until somebody confirms that the clock is right: manage.py purge --confirm-gap."
        )


def gap_before(now: datetime) -> Gap | None:
    """Return the gap that a person has to confirm before a run as of ``now``, if there is one; one query.

    Never in development, and never before the first run. A run that waited for a confirmation does not shorten the
    gap; a run that was paused does, and so does one that failed: their instant was near the one before.
    """
    if settings.DEVELOPMENT:
        return None
    runs = PurgeRun.objects.of_the_purge().exclude(state=RunState.WAITING).filter(as_of__lte=now)
    last = runs.order_by("-pk").values_list("as_of", flat=True).first()
    return Gap(last, now) if last is not None and now - last > LONGEST_GAP else None
