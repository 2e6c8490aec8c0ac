"""Lay out bars over days or months, as the home pages and the page of usage show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from agencies.usage.choices import Measure
from archival.policy.age_chart import Mark, round_up

HEIGHT, TOP = 110, 8  # px: the axis, and the line at the top of the scale
GAP = 0.5  # per cent of a day of 30, between two bars


@dataclass(frozen=True, slots=True)
class Counts:
    """What was stored in a period; contacts are new ones, and bytes are of attachments."""

    conversations: int = 0
    messages: int = 0
    contacts: int = 0
    bytes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.conversations + other.conversations,
            self.messages + other.messages,
            self.contacts + other.contacts,
            self.bytes + other.bytes,
        )

    def of(self, measure: Measure) -> int:
        count: int = getattr(self, measure.value)
        return count


@dataclass(frozen=True, slots=True)
class Bar:
    """A UTC day or month of the chart, in units of SVG: x and width in per cent, y and height in pixels."""

    day: date  # the first of the period
    counts: Counts
    count: int  # the one of them that it shows
    x: str
    width: str
    y: str
    height: str
    is_now: bool  # its period is not over
    middle: str  # as x


@dataclass(frozen=True, slots=True)
class Chart:
    """One of the counts a period, the last period at the right.

    ``fewest`` and ``most`` leave out the last, which is not over. ``highest`` is the round number at the top of the
    scale.
    """

    bars: Sequence[Bar]
    fewest: int
    most: int
    highest: int

    @property
    def now(self) -> Bar:
        return self.bars[-1]

    @property
    def scale(self) -> list[Mark]:
        """Round counts for the scale beside the bars, down to 0 at the axis."""
        half = (TOP + HEIGHT) / 2
        return [Mark(f"{TOP}", self.highest), Mark(f"{half}", self.highest // 2), Mark(f"{HEIGHT}", 0)]

    @property
    def dates(self) -> Sequence[Bar]:
        """The bars whose dates are below the axis: about four, none near the end of it, where the last one is named."""
        step = max(1, round(len(self.bars) * 7 / 30))
        first = 1 if len(self.bars) > 13 else 0  # of many bars, the first one is too near the edge
        return self.bars[first : max(0, len(self.bars) - step) : step]

    @property
    def is_empty(self) -> bool:
        return not any(bar.counts.conversations or bar.counts.messages for bar in self.bars)


def lay_out(periods: Sequence[date], counts: Mapping[date, Counts], measure: Measure = Measure.CONVERSATIONS) -> Chart:
    """Return a chart with a bar for each period, given by its first day; the last one is not over."""
    stored = [counts.get(period, Counts()) for period in periods]
    shown = [each.of(measure) for each in stored]
    highest = round_up(max(shown, default=0))
    step, gap = 100 / len(periods), GAP * min(1, 30 / len(periods))
    bars = []
    for number, (period, each) in enumerate(zip(periods, stored, strict=True)):
        height = (HEIGHT - TOP) * shown[number] / highest
        bars.append(
            Bar(
                day=period,
                counts=each,
                count=shown[number],
                x=f"{number * step + gap / 2:.2f}%",
                width=f"{step - gap:.2f}%",
                y=f"{HEIGHT - height:.1f}",
                height=f"{height:.1f}",
                is_now=number == len(periods) - 1,
                middle=f"{(number + 0.5) * step:.2f}%",
            )
        )
    earlier = shown[:-1]
    return Chart(bars, fewest=min(earlier, default=0), most=max(earlier, default=0), highest=highest)
