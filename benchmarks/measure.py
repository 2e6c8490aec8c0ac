"""The result of a benchmark: a scenario, the seconds of Studio and of the other way, and the bar."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Measured:
    """Two ways in the same run, in seconds; ``bar`` is the greatest ratio ours/other that is good (None: any).

    ``ground`` says once a scenario on what both ran: sizes of tables.
    """

    scenario: str
    other: str
    ours_seconds: float
    other_seconds: float
    bar: float | None
    note: str = ""
    ground: str = ""

    @property
    def ratio(self) -> float:
        return self.ours_seconds / self.other_seconds

    @property
    def is_met(self) -> bool:
        return self.bar is None or self.ratio <= self.bar

    @property
    def bar_in_words(self) -> str:
        if self.bar is None:
            return ""
        if self.bar == 1:
            return "no more"
        return f"at most {in_words(self.bar)}" if self.bar > 1 else in_words(self.bar)

    @property
    def verdict(self) -> str:
        return "" if self.bar is None else "met" if self.is_met else "MISSED"


def in_words(ratio: float) -> str:
    """Return a ratio ours/other in words, as a factor above 1."""
    return f"{1 / ratio:.1f}× faster" if ratio < 1 else f"{ratio:.2f}× slower"


class Watch:
    """Collects the durations of something that runs several times."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds.append(time.perf_counter() - start)

    @property
    def median(self) -> float:
        return median(self.seconds)


def run_in_turn(times: int, *ways: Callable[[], None]) -> None:
    """Run each way ``times`` times in turn, so that noise affects all of them alike."""
    for _ in range(times):
        for way in ways:
            way()
