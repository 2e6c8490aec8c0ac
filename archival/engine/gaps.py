"""Stop runs after more than a day without one, in case the clock leapt, until a person confirms that it is right."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from archival.choices import RunState
from archival.models import PurgeRun

LONGEST_GAP = timedelta(hours=24)


@dataclass(frozen=True)
class Gap:
    """More than ``LONGEST_GAP`` between the last run and the one that is to start now."""

    last_run_at: datetime
    now: datetime

    @property
    def description(self) -> str:
        return (
            f"The last run was at {self.last_run_at:%Y-%m-%d %H:%M} UTC, and now it is {self.now:%Y-%m-%d %H:%M} UTC. "
            "Nothing is deleted until somebody confirms that the clock is right: manage.py purge --confirm-gap."
        )


def gap_before(now: datetime) -> Gap | None:
    """Return the gap that a person has to confirm before a run as of ``now``, or ``None``; one query.

    There is none in development, and none before the first run. Paused and failed runs end a gap, since their instants
    were near the one before; runs that waited for confirmation do not.
    """
    if settings.DEVELOPMENT:
        return None
    runs = PurgeRun.objects.of_the_purge().exclude(state=RunState.WAITING).filter(as_of__lte=now)
    last = runs.order_by("-pk").values_list("as_of", flat=True).first()
    return Gap(last, now) if last is not None and now - last > LONGEST_GAP else None
