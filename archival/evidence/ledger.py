"""Query runs with their receipts, deletions on request, and the figures of the ledger."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Max, Min, Q, QuerySet, Sum

from archival.choices import COUNTS, DeletionState, RunPurpose, RunState
from archival.evidence.silence import is_silent
from archival.models import BlobToDelete, Deletion, Erasure, Guard, Hold, PolicyChange, PurgeRun, Receipt, RunQuerySet
from environments.models import Organisation, OrganisationQuerySet
from web.clock import MOST_APART

MONTH, HOUR = timedelta(days=30), timedelta(hours=1)


@dataclass(frozen=True)
class Entry:
    """One run, with counts of what it deleted at or below an organisation; the counts are 0 without a receipt.

    ``cutoff`` is the cutoff on the receipt of an environment, and ``None`` for other organisations.
    """

    run: PurgeRun
    counts: dict[str, int]
    held: int
    is_guarded: bool
    cutoff: datetime | None

    @property
    def state(self) -> str:
        """The state that the badge shows."""
        return "guarded" if self.is_guarded else self.run.state

    @property
    def is_empty(self) -> bool:
        return not any(self.counts.values()) and self.run.state == RunState.DONE

    @property
    def took(self) -> timedelta | None:
        return self.run.finished_at - self.run.started_at if self.run.finished_at else None


def environments_below(organisation: Organisation) -> OrganisationQuerySet:
    found: OrganisationQuerySet = Organisation.objects.below(organisation).environments()
    return found


def environments_ever(organisation: Organisation) -> Any:
    """Return the ids of the environments at or below the organisation, including deleted environments."""
    below = environments_below(organisation).order_by().values("pk")
    return below.union(deletions_below(organisation).order_by().filter(state=DeletionState.DONE).values("organisation"))


def receipts_of(organisation: Organisation) -> QuerySet[Receipt]:
    """Return the receipts of the organisation's environments, including deleted environments, the latest run first."""
    found = Receipt.objects.filter(environment__in=environments_ever(organisation))
    return found.order_by("-run_id", "environment_label", "pk")


def erasures_of(organisation: Organisation) -> QuerySet[Erasure]:
    """Return the erasures of contacts in the organisation's environments, including deleted ones, the latest first."""
    return Erasure.objects.filter(environment__in=environments_ever(organisation)).order_by("-pk")


def deletions_below(organisation: Organisation) -> QuerySet[Deletion]:
    """Return the deletions, also running ones, of organisations below this one, the latest first."""
    parents = Organisation.objects.below(organisation).order_by()
    return Deletion.objects.filter(parent__in=parents.values("pk")).select_related("run").order_by("-pk")


def find_runs(
    organisation: Organisation, *, only: str = "", since: datetime | None = None, until: datetime | None = None
) -> RunQuerySet:
    """Return the runs of the purge, and other runs that deleted something here, the latest first.

    ``only`` is rows (runs that deleted or held something here), failed or paused; ``since`` and ``until`` are as in
    ``RunQuerySet.begun_between``.
    """
    here = receipts_of(organisation).order_by()
    others = here.exclude(run__purpose=RunPurpose.POLICY).values("run")
    found = PurgeRun.objects.begun_between(since, until).filter(Q(purpose=RunPurpose.POLICY) | Q(pk__in=others))
    found = found.order_by("-pk")
    match only:
        case "rows":
            return found.filter(pk__in=here.values("run"))
        case "failed":
            return found.filter(state__in=[RunState.FAILED, RunState.INTERRUPTED])
        case "paused":
            return found.filter(state__in=[RunState.PAUSED, RunState.WAITING])
    return found


def entries_of(page: list[PurgeRun], organisation: Organisation) -> list[Entry]:
    """Return the runs of a page with counts of what each deleted at or below the organisation; one query."""
    sums = {kind: Sum(kind) for kind in (*COUNTS, "held")}
    receipts = receipts_of(organisation).order_by().filter(run__in=page)
    found: dict[int, dict[str, Any]] = {
        row["run"]: dict(row)
        for row in receipts.values("run").annotate(
            **sums, guarded=Count("pk", filter=Q(is_guarded=True)), cutoff=Max("cutoff")
        )
    }
    result = []
    for run in page:
        row: dict[str, Any] = found.get(run.pk, {})
        result.append(
            Entry(
                run,
                {kind: row.get(kind) or 0 for kind in COUNTS},
                row.get("held") or 0,
                bool(row.get("guarded")),
                row.get("cutoff") if organisation.is_environment else None,
            )
        )
    return result


def running_entry(organisation: Organisation) -> Entry | None:
    """Return what the purge's running run has deleted so far at or below the organisation; ``None`` if none runs."""
    at_work = PurgeRun.objects.of_the_purge().filter(state=RunState.RUNNING).order_by("-pk")[:1]
    return next(iter(entries_of(list(at_work), organisation)), None)


def figures(organisation: Organisation, *, now: datetime) -> dict[str, Any]:
    """Return the figures at the top of the ledger: the last 30 days, waiting files, the next run."""
    below = environments_below(organisation).order_by()
    month = receipts_of(organisation).order_by().filter(run__started_at__gt=now - MONTH)
    latest = PurgeRun.objects.of_the_purge().filter(started_at__lte=now + MOST_APART).order_by("-started_at").first()
    every = timedelta(seconds=settings.PURGE_EVERY_SECONDS)
    silent = is_silent(now=now)
    files = BlobToDelete.objects.filter(environment_id__in=below.values("pk"))
    waiting = files.aggregate(count=Count("key", distinct=True), since=Min("queued_at"))
    is_stuck = waiting["since"] is not None and waiting["since"] < now - HOUR
    is_coming = latest is not None and settings.PURGE_ENABLED and not silent
    return {
        "month": month.aggregate(**{kind: Sum(kind, default=0) for kind in COUNTS}),
        "waiting": waiting["count"],
        "waiting_since": waiting["since"] if is_stuck else None,
        "next_run_at": latest.started_at + every if latest and is_coming else None,
        "every_minutes": every_minutes(),
        "running": running_entry(organisation),
        "erasures": erasures_of(organisation).count(),
        "holds": Hold.objects.active(now).filter(environment__in=below.values("pk")).count(),
        "change": PolicyChange.objects.filter(organisation=organisation, ended_at=None).first(),
        "is_guarded": Guard.objects.filter(environment=organisation, confirmed_at=None).exists(),
        "is_silent": silent,
        "is_paused": not settings.PURGE_ENABLED,
    }


def every_minutes() -> int:
    """Return how many minutes pass between two runs, at least 1."""
    return max(1, round(settings.PURGE_EVERY_SECONDS / 60))
