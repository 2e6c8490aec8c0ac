"""Query bulk changes: the state of one, and its results."""

from dataclasses import dataclass

from django.db.models import Case, QuerySet, Value, When

from agencies.bulk.services import REVERTIBLE, count_states
from agencies.bulk.wanted import MFA
from agencies.choices import ItemState
from agencies.models import BulkChange, BulkItem
from environments.choices import MfaSetting
from environments.models import Organisation

WORST_FIRST = (
    *(ItemState.FAILED, ItemState.REFUSED, ItemState.PENDING, ItemState.CHANGED),
    *(ItemState.UNCHANGED, ItemState.WAITING),
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: how many environments are in each state."""

    job: BulkChange
    counts: dict[str, int]

    @property
    def all(self) -> int:
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        return self.all - self.counts.get(ItemState.WAITING, 0)

    @property
    def figures(self) -> list[tuple[ItemState, int]]:
        """The states that there are, with their counts, the worst first."""
        return [(state, self.counts[state]) for state in WORST_FIRST if self.counts.get(state)]

    @property
    def revertible(self) -> int:
        """How many environments a reversal would be about."""
        return sum(self.counts.get(state, 0) for state in REVERTIBLE)


def progress_of(job: BulkChange) -> Progress:
    """Return how far a job is; one query."""
    return Progress(job, count_states(job))


def requires_mfa_again(job: BulkChange) -> bool:
    """Return whether a reversal of the job would switch MFA on in some environment; one query."""
    switched_off = {f"before__{MFA}__value": MfaSetting.ON}
    return job.items.filter(state__in=REVERTIBLE, **switched_off).exists()


def bulk_changes_of(organisation: Organisation) -> QuerySet[BulkChange]:
    """Return the bulk changes that were started from the page of an organisation."""
    return BulkChange.objects.filter(organisation=organisation)


def results_of(job: BulkChange, *, state: str | None = None) -> QuerySet[BulkItem]:
    """Return the environments of a job with their results, or those in one state; the worst first."""
    items = job.items.select_related("policy_change", "mfa_change")
    if state in ItemState.values:
        items = items.filter(state=state)
    return items.annotate(
        rank=Case(*(When(state=each, then=Value(rank)) for rank, each in enumerate(WORST_FIRST)))
    ).order_by("rank", "environment_label", "pk")
