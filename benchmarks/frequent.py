"""Measure a run every ten minutes, with little due, against an age index for each environment.

Both work on the same tables, which have that index; each takes the next ten minutes that the other one has left.
"""

from datetime import timedelta

from archival.engine.run import Limits, purge
from benchmarks import baselines, ground
from benchmarks.measure import Measured, Watch
from benchmarks.rows import NIGHT, create_steady_state

TIMES, BAR = 15, 1 / 5
TEN_MINUTES = timedelta(minutes=10)


def run() -> list[Measured]:
    environments = create_steady_state()
    baselines.add_age_index()
    ground.keep_copy("aged")
    ground.restore_copy("aged")
    ground.drop_copy("aged")
    ours, other = Watch(), Watch()
    gone = {"ours": 0, "other": 0}
    now = NIGHT - timedelta(days=1)  # older data is deleted already
    for _ in range(TIMES):
        now += TEN_MINUTES
        before = ground.count_rows()
        with ours.running():
            purge(now=now, sleep_ratio=0, limits=Limits())
        gone["ours"] += before - ground.count_rows()
        now += TEN_MINUTES
        cutoffs = {each.pk: now - timedelta(days=each.effective_archive_after_days or 0) for each in environments}
        before = ground.count_rows()
        with other.running():
            baselines.by_age(cutoffs)
        gone["other"] += before - ground.count_rows()
    rows = {way: count // TIMES for way, count in gone.items()}
    note = f"{rows['ours']} rows a run; other: {rows['other']}"
    scenario = f"a run every 10 minutes over {len(environments)} environments"
    other_way = "an age index on messages, per environment"
    return [Measured(scenario, other_way, ours.median, other.median, BAR, note, ground=ground.sizes())]
