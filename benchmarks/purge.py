"""Measure the purge against the usual ways of deleting, each on a copy of the same rows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection

from archival.engine.run import purge
from benchmarks import baselines, ground
from benchmarks.baselines import Cutoffs
from benchmarks.measure import Measured, Watch
from benchmarks.rows import (
    ENVIRONMENTS,
    NIGHT,
    Plan,
    create_environments,
    create_steady_state,
    set_limit,
    store_conversations,
)
from environments.models import Organisation

TURNS, LONG_SECONDS = 3, 60  # what takes longer runs once: beside it, noise is small
ROWS = 1_000_000
ROWS_EACH = 18.1  # of a conversation: itself, its contact, 10 messages, 6 variables, for every tenth a file


@dataclass(frozen=True)
class Way:
    """One way to delete; ``prepare`` is not timed, ``aged`` needs the age index. Bars: of a night, of a backlog."""

    name: str
    delete: Callable[[Cutoffs], object]
    night: float | None = None
    backlog: float | None = None
    prepare: Callable[[Cutoffs], object] | None = None
    aged: bool = False


OURS = Way("ours", lambda _: purge(now=NIGHT, sleep_ratio=0))
OTHERS = (
    Way("Django's .delete()", baselines.by_django, 1 / 4, 1 / 0.7),
    Way("Django's .delete() with signals", baselines.by_django_with_signals, 1 / 6, 1 / 0.7),
    Way("DELETE by key, 10,000 a statement", baselines.by_key, 1 / 3, 1 / 0.7),
    Way("DELETE by ctid, 10,000 a statement", baselines.by_ctid, 1 / 3),
    Way("copy to archive tables, then delete", baselines.by_copy, 1 / 1.5, 1 / 0.7, prepare=baselines.prepare_archive),
    Way("DROP of a ready partition", baselines.by_dropping_partitions, 20, prepare=baselines.prepare_partitions),
)
BY_AGE = Way("DELETE by ctid with an age index", baselines.by_age, aged=True)  # no bar: an alternative design


def run() -> list[Measured]:
    return [*a_night(), *switched_on()]


def a_night() -> list[Measured]:
    """Measure a night: 300 environments with five limits, each full up to its limit, and one day past it."""
    environments = create_steady_state()
    scenario = f"a night over {ENVIRONMENTS} environments"
    return compare(scenario, environments, [*OTHERS, BY_AGE], [*(way.night for way in OTHERS), None])


def switched_on() -> list[Measured]:
    """Measure a backlog: one environment with all its rows past the cutoff, without the pace."""
    ground.restore_copy("empty")
    (environment,) = create_environments(1, "switched-on")
    store_conversations([Plan(environment.pk, round(ROWS / ROWS_EACH), oldest=400, span=300)])
    set_limit(environment, 30)
    return compare("one environment switched on", [environment], OTHERS, [way.backlog for way in OTHERS])


def compare(
    scenario: str, environments: list[Organisation], others: list[Way] | tuple[Way, ...], bars: list[float | None]
) -> list[Measured]:
    cutoffs = {each.pk: NIGHT - timedelta(days=each.effective_archive_after_days or 0) for each in environments}
    ways = [OURS, *others]
    watches, notes = [Watch() for _ in ways], [""] * len(ways)
    ground.keep_copy("plain")
    sizes = ground.sizes()
    if any(way.aged for way in ways):
        baselines.add_age_index()
        ground.keep_copy("aged")
    for _ in range(TURNS):
        for number, way in enumerate(ways):
            if watches[number].seconds and watches[number].median > LONG_SECONDS:
                continue
            ground.restore_copy("aged" if way.aged else "plain")
            notes[number] = timed(watches[number], way, cutoffs)
    for name in ("plain", "aged"):
        ground.drop_copy(name)
    found = zip(others, watches[1:], bars, notes[1:], strict=True)
    return [
        Measured(scenario, way.name, watches[0].median, watch.median, bar, f"{notes[0]}; other: {note}", ground=sizes)
        for way, watch, bar, note in found
    ]


def timed(watch: Watch, way: Way, cutoffs: Cutoffs) -> str:
    """Run a way, and return its deleted rows and its WAL in words."""
    if way.prepare:
        way.prepare(cutoffs)
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
    before, start = ground.count_rows(), ground.wal_position()
    with watch.running():
        way.delete(cutoffs)
    size, gone = ground.wal_position() - start, before - ground.count_rows()
    return f"{gone:,} rows, {size // gone:,} B of WAL each" if gone else f"{size:,} B of WAL in all"
