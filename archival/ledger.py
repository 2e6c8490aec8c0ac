"""What the pages of retention show: runs with their receipts, what is due next, the proof, and figures over many."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import Any

from django.conf import settings
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from archival.choices import COUNTS, DeletionState, RunPurpose, RunState
from archival.models import BlobToDelete, Deletion, Erasure, Guard, Hold, PolicyChange, Proof, PurgeRun, Receipt
from environments.cutoffs import cutoff
from environments.models import Organisation, OrganisationQuerySet

MONTH = timedelta(days=30)
SILENT_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Entry:
    """One run as an environment (or all below an organisation) saw it; counts are zero where there is no receipt."""

    run: PurgeRun
    counts: dict[str, int]
    held: int
    is_guarded: bool
    cutoff: datetime | None

    @property
    def state(self) -> str:
        """Return the word of the badge."""
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
    """Return the ids of the environments below the organisation, and of those that were deleted from there."""
    below = environments_below(organisation).order_by().values("pk")
    return below.union(deletions_below(organisation).order_by().filter(state=DeletionState.DONE).values("organisation"))


def receipts_of(organisation: Organisation) -> Any:
    """Return the receipts of the organisation's environments, gone ones too, the latest run first."""
    return Receipt.objects.filter(environment__in=environments_ever(organisation)).order_by(
        "-run_id", "environment_label", "pk"
    )


def erasures_of(organisation: Organisation) -> QuerySet[Erasure]:
    """Return the erasures of contacts in the organisation's environments, gone ones too, the latest first."""
    return Erasure.objects.filter(environment__in=environments_ever(organisation)).order_by("-pk")


def deletions_below(organisation: Organisation) -> QuerySet[Deletion]:
    """Return what was deleted, or is being, of what stood below the organisation, the latest first."""
    above = Organisation.objects.below(organisation).order_by()
    return Deletion.objects.filter(parent__in=above.values("pk")).select_related("run").order_by("-pk")


def told(erasure: Erasure) -> dict[str, Any]:
    """Return an erasure as plain values, for the signed file; the time is ISO 8601 in UTC."""
    return {
        "erasure": str(erasure.uuid),
        "erased_at": erasure.erased_at.astimezone(UTC).isoformat(),
        "environment": erasure.environment_label,
        "environment_id": erasure.environment_id,
        "contact": str(erasure.contact_uuid),
        "by": erasure.erased_label,
        **erasure.counts,
    }


def between(runs: Any, since: datetime | None, until: datetime | None) -> Any:
    """Return the runs that began in the time from ``since`` until just before ``until``; None is open."""
    if since:
        runs = runs.filter(started_at__gte=since)
    return runs.filter(started_at__lt=until) if until else runs


def runs(
    organisation: Organisation, *, only: str = "", since: datetime | None = None, until: datetime | None = None
) -> Any:
    """Return the runs of the purge, and others that deleted something here; the latest first.

    ``only`` is rows (deleted or held here), failed or paused; ``since`` and ``until`` as in ``between``.
    """
    here = receipts_of(organisation).order_by()
    others = here.exclude(run__purpose=RunPurpose.POLICY).values("run")
    found = between(PurgeRun.objects.all(), since, until).filter(Q(purpose=RunPurpose.POLICY) | Q(pk__in=others))
    found = found.order_by("-pk")
    match only:
        case "rows":
            return found.filter(pk__in=here.values("run"))
        case "failed":
            return found.filter(state__in=[RunState.FAILED, RunState.INTERRUPTED])
        case "paused":
            return found.filter(state=RunState.PAUSED)
    return found


def entries(page: list[PurgeRun], organisation: Organisation) -> list[Entry]:
    """Return the runs of a page with what each did below the organisation; one query."""
    sums = {kind: Sum(kind) for kind in (*COUNTS, "held")}
    mine = receipts_of(organisation).order_by().filter(run__in=page)
    found: dict[int, dict[str, Any]] = {
        row["run"]: dict(row)
        for row in mine.values("run").annotate(
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
                cutoff_of(run, organisation, row.get("cutoff")),
            )
        )
    return result


def cutoff_of(run: PurgeRun, environment: Organisation, acted: datetime | None) -> datetime | None:
    """Return what was too old for a run in one environment: as on its receipt, or by the limit if that held then."""
    days = environment.effective_archive_after_days
    if not environment.is_environment or days is None:
        return None
    return acted or (cutoff(run.as_of, days) if environment.archival_since <= run.as_of else None)


def running(organisation: Organisation) -> Entry | None:
    """Return what the run of the purge that is at work, if one is, has done so far below the organisation."""
    at_work = PurgeRun.objects.of_the_purge().filter(state=RunState.RUNNING).order_by("-pk")[:1]
    return next(iter(entries(list(at_work), organisation)), None)


def figures(organisation: Organisation, *, now: datetime) -> dict[str, Any]:
    """Return what the ledger says at its top: last month's counts, files that wait, and when the next run is."""
    below = environments_below(organisation).order_by()
    month = receipts_of(organisation).order_by().filter(run__started_at__gt=now - MONTH)
    latest = PurgeRun.objects.of_the_purge().order_by("-started_at").first()
    every = timedelta(seconds=settings.PURGE_EVERY_SECONDS)
    return {
        "month": month.aggregate(**{kind: Sum(kind, default=0) for kind in COUNTS}),
        "waiting": BlobToDelete.objects.filter(environment_id__in=below.values("pk")).count(),
        "next_run_at": latest.started_at + every if latest else None,
        "every_minutes": every_minutes(),
        "running": running(organisation),
        "erasures": erasures_of(organisation).count(),
        "holds": Hold.objects.active(now).filter(environment__in=below.values("pk")).count(),
        "change": PolicyChange.objects.filter(organisation=organisation, ended_at=None).first(),
        "is_guarded": Guard.objects.filter(environment=organisation, confirmed_at=None).exists(),
        "is_silent": is_silent(now=now),
        "is_paused": not settings.PURGE_ENABLED,
    }


def every_minutes() -> int:
    """Return how many minutes lie between two runs, at least 1."""
    return max(1, round(settings.PURGE_EVERY_SECONDS / 60))


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


def statement(
    organisation: Organisation, *, since: datetime | None = None, until: datetime | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the receipts as plain values, for CSV, JSON and the signed file; times are ISO 8601 in UTC.

    The latest run first, of those ``between`` the two. A run of the purge that found nothing here is a line of zeros
    in the organisation's name.
    """
    # Runs first: of one that had finished by then all receipts are there, so that zeros are never said too early.
    asked = between(PurgeRun.objects.all(), since, until)
    runs = asked.order_by("-pk").iterator(chunk_size=2000)
    latest = list(islice(runs, 1))
    receipts = groupby(
        receipts_of(organisation).filter(run__in=asked).iterator(chunk_size=2000), key=attrgetter("run_id")
    )
    number, mine = next(receipts, NO_MORE)
    for run in chain(latest, runs):
        while number is not None and number > run.pk:  # began meanwhile
            number, mine = next(receipts, NO_MORE)
        if run.pk == number:
            yield from (line(run, receipt) for receipt in mine)
            number, mine = next(receipts, NO_MORE)
        elif run.purpose == RunPurpose.POLICY and run.finished_at and run.started_at >= organisation.created_at:
            yield line(run, Receipt(environment=organisation, environment_label=organisation.name))


def line(run: PurgeRun, receipt: Receipt) -> dict[str, Any]:
    return {
        "run": run.pk,
        "purpose": run.purpose,
        "state": run.state,
        "started_at": in_utc(run.started_at),
        "finished_at": in_utc(run.finished_at),
        "environment": receipt.environment_label,
        "environment_id": receipt.environment_id,
        "days": receipt.days,
        "cutoff": in_utc(receipt.cutoff),
        **receipt.counts,
        "held": receipt.held,
        "guarded": receipt.is_guarded,
        "oldest_before": in_utc(receipt.oldest_before),
        "oldest_after": in_utc(receipt.oldest_after),
    }


def in_utc(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None


NO_MORE: tuple[int | None, Iterator[Receipt]] = (None, iter(()))
FIELDS = (
    *("run", "purpose", "state", "started_at", "finished_at", "environment", "environment_id", "days", "cutoff"),
    *(*COUNTS, "held", "guarded", "oldest_before", "oldest_after"),
)


def compliance(organisation: Organisation, *, now: datetime) -> dict[str, Any]:
    """Return the figures of everything below the organisation; a fixed number of queries."""
    below = environments_below(organisation).order_by()
    ids = below.values("pk")
    days = Count("pk", filter=Q(effective_archive_after_days__isnull=True))
    spans = {"90": (1, 90), "365": (91, 365), "730": (366, 730), "more": (731, 3650)}
    counts = below.aggregate(
        total=Count("pk"),
        mfa=Count("pk", filter=Q(effective_require_mfa=True)),
        none=days,
        **{f"d{name}": Count("pk", filter=Q(effective_archive_after_days__range=span)) for name, span in spans.items()},
    )
    proofs = Proof.objects.filter(environment__in=ids)
    late = proofs.filter(is_late=True).select_related("environment").order_by("environment__name")
    holds = Hold.objects.active(now).filter(environment__in=ids)
    held = holds.values("environment__name", "environment__slug")
    daily = (
        receipts_of(organisation)
        .order_by()
        .filter(run__started_at__gt=now - MONTH)
        .annotate(day=TruncDate("run__started_at"))
        .values("day")
        .annotate(messages=Sum("messages"))
        .order_by("day")
    )
    return {
        "counts": counts,
        "checked": proofs.count(),
        "is_outdated": is_outdated(proofs.aggregate(oldest=Min("checked_at"))["oldest"], now=now),
        "late_count": late.count(),
        "late": list(late[:50]),
        "held": list(held.annotate(number=Count("pk")).order_by("environment__name")[:50]),
        "hold_count": holds.count(),
        "daily": list(daily),
    }
