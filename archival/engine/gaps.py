"""Make runs wait after more than a day without one, until a person confirms that the clock is right."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from archival.choices import RunState
from archival.models import PurgeRun

LONGEST_GAP = timedelta(hours=24)


@dataclass(frozen=True)
class Gap:
    """A time longer than ``LONGEST_GAP`` between the last run and a run that starts now."""

    last_run_at: datetime
    now: datetime

    @property
    def description(self) -> str:
        return (
            f"The last run was at {self.last_run_at:%Y-%m-%d %H:%M} UTC, and now it is {self.now:%Y-%m-%d %H:%M} UTC. "
            "Nothing is deleted until somebody confirms that the clock is right: manage.py purge --confirm-gap."
        )


def gap_before(now: datetime) -> Gap | None:
    """Return the gap that a person has to confirm before a run at ``now``, or ``None``; one query.

    Returns ``None`` in development and before the first run. A paused or failed run ends a gap, since it began soon
    after the run before it; a run that waited for confirmation does not.
    """
    if settings.DEVELOPMENT:
        return None
    runs = PurgeRun.objects.of_the_purge().exclude(state=RunState.WAITING).filter(as_of__lte=now)
    last = runs.order_by("-pk").values_list("as_of", flat=True).first()
    return Gap(last, now) if last is not None and now - last > LONGEST_GAP else None
