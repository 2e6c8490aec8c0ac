"""Count what is past its limit and not deleted yet: hidden, and waiting for the purge."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from archival.evidence.silence import is_silent
from archival.models import Guard
from archival.policy.counting import PurgeCounts, count_purgeable
from archival.policy.previews import ReadOnly, add_up
from environments.choices import LONGEST_LIMIT_DAYS
from environments.cutoffs import cutoff
from environments.models import Organisation


@dataclass(frozen=True)
class Past:
    """Counts of what waits for the purge; ``is_deleted_next`` is false if something stops the next run."""

    counts: PurgeCounts
    is_deleted_next: bool


def count_past_limit(organisation: Organisation, *, now: datetime) -> Past:
    """Count what is past its limit and not held in the organisation's environments.

    One query where nothing has a limit. Raises ``ValidationError`` where counting takes longer than 20 seconds.
    """
    below = Organisation.objects.below(organisation).environments().order_by()
    limits = below.filter(effective_archive_after_days__range=(1, LONGEST_LIMIT_DAYS))
    cutoffs = {pk: cutoff(now, days) for pk, days in limits.values_list("pk", "effective_archive_after_days")}
    going: list[PurgeCounts] = []
    if cutoffs:
        with ReadOnly():
            going = list(count_purgeable(cutoffs, now=now).values())
    due = [each.environment_id for each in going if each.rows]
    return Past(add_up(going, organisation), bool(due) and not is_purge_stopped(due, now=now))


def is_purge_stopped(environments: list[int], *, now: datetime) -> bool:
    """Return whether the purge is off or silent, or one of these environments waits for confirmation."""
    guards = Guard.objects.filter(environment__in=environments, confirmed_at=None)
    return not settings.PURGE_ENABLED or is_silent(now=now) or guards.exists()
