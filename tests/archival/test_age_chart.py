"""The chart of data by age: its bars and scales follow what is there, for every limit that is tried."""

import pytest

from archival.policy.age_chart import HEIGHT, KINDS, TOP, Histogram
from tests.factories import NOW


def histogram(messages: dict[int, int], held: dict[int, int] | None = None) -> Histogram:
    days = {age: dict.fromkeys(KINDS, 0) | {"messages": count} for age, count in messages.items()}
    for age, count in (held or {}).items():
        days[age]["held"] = count
    return Histogram(NOW, days)


TWO_YEARS = histogram(dict.fromkeys(range(730), 10))
LAST_WEEKS = histogram({**dict.fromkeys(range(14), 500), 700: 3, 2900: 1})
CUTS = [None, 1, 7, 10, 30, 31, 45, 100, 365, 700, 1460, 3650]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("found", "share"), [(TWO_YEARS, 0.1), (LAST_WEEKS, 0.3)])
def test_no_bar_has_nearly_everything_whatever_the_limit(found, share, cut):
    bars = found.messages_in(found.edges(cut))
    assert sum(bars) == found.total["messages"]
    assert max(bars) <= share * sum(bars)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    "found", [TWO_YEARS, LAST_WEEKS, histogram({0: 1}), histogram({3: 1, 40_000: 1}), histogram({})]
)
def test_the_chart_goes_from_today_to_the_oldest_and_few_bars_are_many_enough(found, cut):
    edges = found.edges(cut)
    assert edges == sorted(set(edges))
    assert edges[0] == 0
    assert edges[-1] > found.oldest_day
    assert len(edges) <= 42
    assert (cut in edges) == bool(found.cut_x(cut)) or cut is None
    assert bool(found.cut_x(cut)) == (cut is not None and cut <= 2 * (found.oldest_day + 1))


def test_one_scale_is_for_every_limit():
    assert TWO_YEARS.is_even
    assert not LAST_WEEKS.is_even
    assert {tuple(mark.number for mark in TWO_YEARS.ages(cut)) for cut in (7, 30, 365)} == {(180, 360, 540)}
    assert {tuple(mark.number for mark in LAST_WEEKS.ages(cut)) for cut in (14, 180)} == {(7, 30, 90, 365, 1095)}


def test_the_counts_beside_the_bars_are_round_and_no_bar_is_higher():
    found = histogram({0: 7, 1: 130, 2: 1})
    assert [mark.number for mark in found.scale(None)] == [200, 100]
    heights = [float(bar.height) for bar in found.bars(None)]
    assert heights[1] == pytest.approx(130 / 200 * (HEIGHT - TOP), abs=0.1)
    assert heights[2] == 2, "a single message can be seen"


def test_what_a_hold_keeps_stands_below_what_is_deleted_and_hides_none_of_it():
    gone, held = sorted(histogram({5: 10}, {5: 4}).bars(1), key=lambda bar: float(bar.y))
    assert (gone.look, held.look) == ("gone", "held")
    assert float(gone.y) + float(gone.height) == pytest.approx(float(held.y), abs=0.1)
    assert float(held.y) + float(held.height) == HEIGHT


def test_the_table_has_rows_of_days_where_all_is_of_a_few_days():
    assert [row.first for row in histogram({0: 1, 3: 1}).rows(None)] == [0, 1, 2, 3]
    assert [row.first for row in TWO_YEARS.rows(45)] == [0, 7, 30, 45, 90, 180, 365]
