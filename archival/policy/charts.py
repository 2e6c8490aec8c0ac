"""What the templates of data by age need, worked out before they are drawn."""

from dataclasses import dataclass

from archival.policy.age_chart import Bar, Histogram, Row
from archival.policy.preview import Preview


@dataclass(frozen=True)
class Chart:
    """Context of ``templates/archival/evidence/_figure.html``; ``cut`` in days, None where nothing would go."""

    cut: int | None
    cut_x: str
    bars: list[Bar]
    rows: list[Row]
    total: dict[str, int]
    stay: int
    go: int
    end: int
    is_open: bool
    preview: Preview | None = None


def chart(found: Histogram, cut: int | None, *, preview: Preview | None = None) -> Chart:
    """Draw the histogram with its cut; with ``preview`` the template shows its exact counts above."""
    stay, go = found.split(cut)
    return Chart(
        cut=cut,
        cut_x=found.cut_x(cut),
        bars=found.bars(cut),
        rows=found.rows(cut),
        total=found.total,
        stay=stay,
        go=go,
        end=found.end(cut),
        is_open=found.is_open(cut),
        preview=preview,
    )
