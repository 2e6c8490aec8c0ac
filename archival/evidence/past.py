"""Count data that is past its limit, so hidden, and that waits for the purge."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from archival.evidence.silence import is_silent
from archival.models import Guard
from archival.policy.counting import PurgeCounts, count_purgeable
from archival.policy.previews import ReadOnly, add_up
from environments.choices import LONGEST_LIMIT_DAYS
from environments.models import Organisation
from web.clock import cutoff


@dataclass(frozen=True)
class Past:
    """Counts of data that waits for the purge, and whether the next run can delete it."""

    counts: PurgeCounts
    is_deleted_next: bool


def count_past_limit(organisation: Organisation, *, now: datetime) -> Past:
    """Return counts of the data past its limit, without held data, in the organisation's environments.

    Makes one query if no environment has a limit. Raises ``ValidationError`` if counting takes longer than 20 seconds.
    """
    below = Organisation.objects.below(organisation).environments().order_by()
    limits = below.filter(effective_archive_after_days__range=(1, LONGEST_LIMIT_DAYS))
    cutoffs = {pk: cutoff(now, days) for pk, days in limits.values_list("pk", "effective_archive_after_days")}
    counted: list[PurgeCounts] = []
    if cutoffs:
        with ReadOnly():
            counted = list(count_purgeable(cutoffs, now=now).values())
    due = [each.environment_id for each in counted if each.rows]
    return Past(add_up(counted, organisation), bool(due) and not is_purge_stopped(due, now=now))


def is_purge_stopped(environments: list[int], *, now: datetime) -> bool:
    """Return whether the purge is switched off, silent, or waits for confirmation in one of the environments."""
    guards = Guard.objects.filter(environment__in=environments, confirmed_at=None)
    return not settings.PURGE_ENABLED or is_silent(now=now) or guards.exists()
