"""Store the figures of every organisation once a day, and show how they changed over 90 days."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import QuerySet, Value

from agencies.compliance.figures import ENVIRONMENTS, FIGURES, PEOPLE, Figure
from agencies.environment_table.queries import narrow_environments
from agencies.models import ComplianceDay
from environments import roster
from environments.choices import Kind, Permission
from environments.models import Membership, Organisation

SHOWN = 90  # days
STORED = [each for each in FIGURES if not each.group.is_chart and each.view_name in {ENVIRONMENTS, PEOPLE}]
HEIGHT = 24  # of a line, in units of SVG; its width has one for each day

_STORE = """
INSERT INTO agencies_complianceday (organisation_id, day, figures)
SELECT o.id, %s, COALESCE(jsonb_object_agg(c.name, c.count) FILTER (WHERE c.count > 0), '{{}}')
FROM environments_organisation o LEFT JOIN (
  SELECT left(f.path, beginning.length) AS path, f.name, count(DISTINCT f.id) AS count
  FROM ({found}) AS f(path, name, id) CROSS JOIN LATERAL generate_series(%s, length(f.path), %s) AS beginning(length)
  GROUP BY 1, 2) c ON c.path = o.path
WHERE o.kind <> %s GROUP BY o.id
ON CONFLICT (organisation_id, day) DO NOTHING
"""


def store_day(*, now: datetime) -> int:
    """Store the figures of all organisations above environments on the UTC day of ``now``, and return of how many.

    Once a day: a second call on the same day stores nothing. One statement.
    """
    today = now.astimezone(UTC).date()
    if ComplianceDay.objects.filter(day=today).exists():
        return 0
    sql, params = _everything_counted(now=now).query.sql_with_params()
    step = Organisation.steplen
    with connection.cursor() as cursor:
        cursor.execute(_STORE.format(found=sql), [today, *params, step, step, Kind.ENVIRONMENT])
        return cursor.rowcount


def _everything_counted(*, now: datetime) -> QuerySet[Any]:
    """Return the path and the id of everything that a stored figure counts anywhere, with the name of the figure."""
    first, *others = (_counted_by(figure, now=now) for figure in STORED)
    return first.union(*others, all=True)


def _counted_by(figure: Figure, *, now: datetime) -> QuerySet[Any]:
    if figure.view_name == ENVIRONMENTS:
        environments = narrow_environments(Organisation.objects.environments(), dict(figure.query), now=now).order_by()
        found: QuerySet[Any] = environments.values_list("path", Value(figure.name), "pk")
        return found
    live = Membership.objects.live(now)
    people = roster.without_factor(roster.people_with(live))
    found = live.filter(user__in=people.values("pk"))
    return found.values_list("organisation__path", Value(figure.name), "user")


@dataclass(frozen=True, slots=True)
class Line:
    """A figure over the days that were stored, the earliest first, and its line: points in units of SVG."""

    figure: Figure
    counts: Sequence[int]
    points: str

    @property
    def first(self) -> int:
        return self.counts[0]

    @property
    def latest(self) -> int:
        return self.counts[-1]

    @property
    def lowest(self) -> int:
        return min(self.counts)

    @property
    def highest(self) -> int:
        return max(self.counts)


@dataclass(frozen=True, slots=True)
class Trend:
    """The lines of all figures that a viewer can see, over the days that were stored."""

    days: list[date]
    lines: list[Line]


def trend_of(organisation: Organisation, *, permissions: Collection[Permission], now: datetime) -> Trend:
    """Return how the figures of the organisation changed over the last 90 days; one query."""
    since = now.astimezone(UTC).date() - timedelta(days=SHOWN)
    stored = ComplianceDay.objects.filter(organisation=organisation, day__gt=since).order_by("day")
    rows = list(stored.values_list("day", "figures"))
    if not rows:
        return Trend([], [])
    seen = [figure for figure in STORED if figure.needs in permissions]
    days = [day for day, _figures in rows]
    return Trend(days, [_line_of(each, days, [figures.get(each.name, 0) for _day, figures in rows]) for each in seen])


def _line_of(figure: Figure, days: list[date], counts: list[int]) -> Line:
    """Lay out a line whose last day is at the right, 90 days from the left, and whose highest count is at the top."""
    most = max(1, *counts)
    places = [SHOWN - (days[-1] - day).days for day in days]
    heights = [HEIGHT - count / most * HEIGHT for count in counts]
    points = " ".join(f"{x},{y:.1f}" for x, y in zip(places, heights, strict=True))
    return Line(figure, counts, points)
