"""Query runs with their receipts, deletions on request, and the figures of the ledger."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.conf import settings
from django.core.paginator import Page
from django.db.models import (
    Case,
    Count,
    Exists,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)

from archival.choices import COUNTS, ROWS, ChangeState, DeletionState, RunPurpose, RunState
from archival.evidence.silence import good_runs, installed_at, is_silent_since
from archival.models import BlobToDelete, Deletion, Erasure, Guard, Hold, PolicyChange, PurgeRun, Receipt, RunQuerySet
from environments.models import Organisation, OrganisationQuerySet
from web.among import Among
from web.clock import MOST_APART
from web.paging import CountOf, page_of

MONTH, HOUR = timedelta(days=30), timedelta(hours=1)
IDLE = [RunState.PAUSED, RunState.WAITING]  # a run in these states has not looked anywhere
SHOWN_OF_A_RUN = ("pk", "purpose", "state", "started_at", "finished_at")
DELETED = reduce(or_, (Q(**{f"{kind}__gt": 0}) for kind in ROWS), Q(is_guarded=True))


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
    def last(self) -> int:
        """The id by which entries and folds are in one order."""
        return self.run.pk

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


@dataclass(frozen=True)
class Fold:
    """Neighbouring runs that deleted nothing here, as one row; ``only`` lists them with the ids as its bounds."""

    only: str  # nothing or paused
    count: int
    first: int
    last: int
    began_at: datetime  # the start of the first run
    last_began_at: datetime
    latest: PurgeRun  # the run itself where there is one; of several, with the largest value of each field


def environments_below(organisation: Organisation) -> OrganisationQuerySet:
    found: OrganisationQuerySet = Organisation.objects.below(organisation).environments()
    return found


def environments_ever(organisation: Organisation) -> Any:
    """Return the ids of the environments at or below the organisation, including deleted environments."""
    below = environments_below(organisation).order_by().values("pk")
    return below.union(deletions_below(organisation).order_by().filter(state=DeletionState.DONE).values("organisation"))


def receipts_of(organisation: Organisation) -> QuerySet[Receipt]:
    """Return the receipts of the organisation's environments, including deleted environments, the latest run first."""
    found = Receipt.objects.filter(Among("environment", environments_ever(organisation)))
    return found.order_by("-run_id", "environment_label", "pk")


def erasures_of(organisation: Organisation) -> QuerySet[Erasure]:
    """Return the erasures of contacts in the organisation's environments, including deleted ones, the latest first."""
    return Erasure.objects.filter(Among("environment", environments_ever(organisation))).order_by("-pk")


def deletions_below(organisation: Organisation) -> QuerySet[Deletion]:
    """Return the deletions, also running ones, of organisations below this one, the latest first."""
    parents = Organisation.objects.below(organisation).order_by()
    return Deletion.objects.filter(parent__in=parents.values("pk")).select_related("run").order_by("-pk")


def find_runs(
    organisation: Organisation, *, only: str = "", since: datetime | None = None, until: datetime | None = None
) -> RunQuerySet:
    """Return the runs of the purge, and other runs that deleted something here, the latest first.

    ``only`` is rows (runs that deleted something here), nothing (runs that are done and did not), failed or paused;
    ``since`` and ``until`` are as in ``RunQuerySet.begun_between``.
    """
    here = receipts_of(organisation).order_by()
    others = here.exclude(run__purpose=RunPurpose.POLICY).values("run")
    found = PurgeRun.objects.begun_between(since, until).filter(Q(purpose=RunPurpose.POLICY) | Q(pk__in=others))
    found = found.order_by("-pk")
    match only:
        case "rows":
            return found.filter(deleted_at_or_below(organisation))
        case "nothing":
            return found.filter(~deleted_at_or_below(organisation), state=RunState.DONE)
        case "failed":
            return found.filter(state__in=[RunState.FAILED, RunState.INTERRUPTED])
        case "paused":
            return found.filter(state__in=IDLE)
    return found


def deleted_at_or_below(organisation: Organisation) -> Q:
    """Return the condition for runs that deleted something at or below the organisation, or need confirmation there."""
    return Q(pk__in=receipts_of(organisation).order_by().filter(DELETED).values("run"))


def folded_entries(
    organisation: Organisation, number: str | None, *, size: int, since: datetime | None, until: datetime | None
) -> tuple[Page[PurgeRun], list[Entry | Fold]]:
    """Return a page of the runs to look at, and its rows: their entries, and folds of the other runs between them.

    A run to look at deleted something here, needs confirmation here, runs, or failed. A run that stands alone between
    two of them is not folded. Three queries.
    """
    found = find_runs(organisation, since=since, until=until)
    is_quiet = ~deleted_at_or_below(organisation) & Q(state__in=[RunState.DONE, *IDLE])
    shown = found.exclude(is_quiet)
    page = page_of(shown, number, size=size)
    folds = folds_between(page, shown, found.filter(is_quiet))
    alone = [fold.latest for fold in folds if fold.count == 1]
    entries = entries_of([*page, *alone], organisation)
    rows: list[Entry | Fold] = [*entries, *(fold for fold in folds if fold.count > 1)]
    return page, sorted(rows, key=lambda row: -row.last)


def folds_between(page: Page[PurgeRun], shown: RunQuerySet, quiet: RunQuerySet) -> list[Fold]:
    """Return the quiet runs before, between and after the runs of a page, those after its last up to the next page."""
    pks = [run.pk for run in page]
    if page.has_previous():
        quiet = quiet.filter(pk__lt=pks[0])
    if page.has_next():
        quiet = quiet.filter(pk__gt=Subquery(shown.filter(pk__lt=pks[-1]).values("pk")[:1]))
    place = Case(
        *(When(pk__gt=pk, then=Value(number)) for number, pk in enumerate(pks)),
        default=Value(len(pks)),
        output_field=IntegerField(),
    )
    only = Case(When(state=RunState.DONE, then=Value("nothing")), default=Value("paused"))
    spans = quiet.order_by().annotate(place=place, only=only).values("place", "only")
    spans = spans.annotate(
        count=Count("pk"),
        first=Min("pk"),
        last=Max("pk"),
        began_at=Min("started_at"),
        last_began_at=Max("started_at"),
        **{f"run_{name}": Max(name) for name in SHOWN_OF_A_RUN},
    )
    found: list[dict[str, Any]] = [dict(span) for span in spans]
    return [
        Fold(
            **{name: span[name] for name in ("only", "count", "first", "last", "began_at", "last_began_at")},
            latest=PurgeRun(**{name: span[f"run_{name}"] for name in SHOWN_OF_A_RUN}),
        )
        for span in found
    ]


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


def latest_runs(organisation: Organisation, *, now: datetime) -> Any:
    """Return the runs of the purge, the latest first; ``is_awaited`` says whether the one after it has more to do.

    It has if a shorter limit took effect, or a guard was confirmed here, since the run began. Only what happened within
    the last hour counts, so that no page waits for a purge that has stopped.
    """
    below = Organisation.objects.below(organisation).order_by().values("pk")
    above = Organisation.objects.above(organisation).order_by().values("pk")
    began_at = OuterRef("started_at")
    changed = PolicyChange.objects.filter(state=ChangeState.APPLIED, ended_at__gt=began_at).exclude(announced={})
    changed = changed.filter(Q(organisation__in=below) | Q(organisation__in=above), ended_at__gt=now - HOUR)
    confirmed = Guard.objects.filter(environment__in=below, confirmed_at__gt=began_at)
    is_awaited = Exists(changed) | Exists(confirmed.filter(confirmed_at__gt=now - HOUR))
    runs = PurgeRun.objects.of_the_purge().filter(started_at__lte=now + MOST_APART)
    return runs.annotate(is_awaited=is_awaited).order_by("-started_at")


def figures(organisation: Organisation, *, now: datetime) -> dict[str, Any]:
    """Return the figures at the top of the ledger: the last 30 days, waiting files, the next run, and the proof.

    One query; more for a pending change, while the purge runs, and before its first run.
    """
    counted = counted_for_ledger(organisation, now=now)
    every = timedelta(seconds=settings.PURGE_EVERY_SECONDS)
    silent = is_silent_since(counted.last_good_at or installed_at(), now=now)
    is_stuck = counted.waiting_since is not None and counted.waiting_since < now - HOUR
    is_coming = counted.latest_at is not None and settings.PURGE_ENABLED and not silent
    return {
        "month": {"conversations": counted.deleted_conversations or 0, "messages": counted.deleted_messages or 0},
        "waiting": counted.waiting_count,
        "waiting_since": counted.waiting_since if is_stuck else None,
        "next_run_at": counted.latest_at + every if is_coming else None,
        "every_minutes": every_minutes(),
        "running": running_entry(organisation) if counted.is_running else None,
        "is_awaited": is_coming and counted.is_awaited,
        "erasures": counted.erasure_count,
        "holds": counted.hold_count,
        "change": organisation.policy_changes.get(pk=counted.pending_change) if counted.pending_change else None,
        "is_guarded": counted.is_guarded,
        "is_silent": silent,
        "is_paused": not settings.PURGE_ENABLED,
        "proof": getattr(counted, "proof", None) if organisation.is_environment else None,
    }


def counted_for_ledger(organisation: Organisation, *, now: datetime) -> Any:
    """Return the organisation with its proof, and with what the figures of the ledger need as attributes; one query."""
    below = environments_below(organisation).order_by().values("pk")
    month = receipts_of(organisation).order_by().filter(run__started_at__gt=now - MONTH).values(of_all=Value(1))
    files = BlobToDelete.objects.filter(environment_id__in=below)
    holds, guards = Hold.objects.active(now).filter(environment__in=below), Guard.objects.filter(confirmed_at=None)
    changes, latest = PolicyChange.objects.filter(ended_at=None), latest_runs(organisation, now=now)
    return (
        Organisation.objects.select_related("proof")
        .annotate(
            deleted_conversations=Subquery(month.annotate(sum=Sum("conversations")).values("sum")),
            deleted_messages=Subquery(month.annotate(sum=Sum("messages")).values("sum")),
            waiting_count=CountOf(files.values("key").distinct()),
            waiting_since=Subquery(files.order_by("queued_at").values("queued_at")[:1]),
            latest_at=Subquery(latest.values("started_at")[:1]),
            is_awaited=Subquery(latest.values("is_awaited")[:1]),
            last_good_at=Subquery(good_runs(now=now).values("started_at")[:1]),
            is_running=Exists(PurgeRun.objects.of_the_purge().filter(state=RunState.RUNNING)),
            erasure_count=CountOf(erasures_of(organisation).values("pk")),
            hold_count=CountOf(holds.values("pk")),
            pending_change=Subquery(changes.filter(organisation=organisation).values("pk")[:1]),
            is_guarded=Exists(guards.filter(environment=organisation)),
        )
        .get(pk=organisation.pk)
    )


def every_minutes() -> int:
    """Return how many minutes pass between two runs, at least 1."""
    return max(1, round(settings.PURGE_EVERY_SECONDS / 60))
