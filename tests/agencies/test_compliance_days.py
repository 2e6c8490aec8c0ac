"""The figures of compliance that are stored once a day, and how the page shows them."""

import csv
import io
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine

from agencies.compliance.days import STORED, store_day, trend_of
from agencies.compliance.queries import count_figures
from agencies.models import ComplianceDay
from environments.choices import Kind, Permission
from environments.models import Organisation
from tests.agencies.test_compliance import prepare
from tests.factories import environment, member, organisation
from tests.logging_in import logged_in_client
from tests.queries import count_queries

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.usefixtures("aurora")
def test_a_day_has_the_figures_of_the_page_for_every_organisation_above_environments():
    prepare()
    now = datetime.now(UTC)
    empty = organisation(Kind.AGENCY)
    above = Organisation.objects.exclude(kind=Kind.ENVIRONMENT)

    assert store_day(now=now) == above.count() == ComplianceDay.objects.count()
    for each in above:
        shown = count_figures(each, permissions=Permission, now=now).figures
        names = {figure.name for figure in STORED}
        counts = {one.figure.name: one.count for one in shown if one.count and one.figure.name in names}
        assert ComplianceDay.objects.get(organisation=each).figures == counts
    assert ComplianceDay.objects.get(organisation=empty).figures == {}
    assert len(ComplianceDay.objects.get(organisation__slug="aurora").figures) == len(STORED)


def test_a_day_is_stored_once_in_two_statements_for_any_number(aurora):
    assert store_day(now=NOON) > 0
    assert store_day(now=NOON + timedelta(hours=11)) == 0
    for number in range(20):
        environment(parent=aurora, slug=f"more-{number}")
    days = iter(range(1, 9))

    assert count_queries(lambda: store_day(now=NOON + timedelta(days=next(days)))) == 2
    aurora_days = ComplianceDay.objects.filter(organisation=aurora).order_by("day")
    assert [each.figures["environments"] for each in aurora_days] == [7, 27, 27]


def stored(days_ago: int, organisation: Organisation, **figures: int) -> None:
    day = NOON.date() - timedelta(days=days_ago)
    ComplianceDay.objects.create(organisation=organisation, day=day, figures=figures)


def test_the_page_shows_the_last_90_days_and_the_file_has_them_all(aurora, ada):
    with time_machine.travel(NOON, tick=False):
        stored(90, aurora, late=50)
        stored(89, aurora, late=4, environments=7)
        stored(1, aurora, environments=7)
        stored(0, Organisation.objects.get(slug="bakker"), late=9)
        client = logged_in_client(member(aurora, email="eve@aurora.test"))
        trend = client.get("/aurora/compliance/").context["trend"]
        (late,) = [line for line in trend.lines if line.figure.name == "late"]
        rows = list(
            csv.DictReader(io.StringIO(client.get("/aurora/compliance-90-days.csv").getvalue().decode("utf-8-sig")))
        )

    assert (late.counts, late.points) == ([4, 0], "2,0.0 90,24.0")
    assert (late.first, late.latest, late.lowest, late.highest) == (4, 0, 0, 4)
    assert [(row["day"], row["late"], row["environments"]) for row in rows] == [
        (date(2026, 8, 25).isoformat(), "4", "7"),
        (date(2026, 11, 21).isoformat(), "0", "7"),
    ]


def test_a_trend_leaves_out_people_for_who_cannot_manage_them(aurora):
    stored(0, aurora, people_without_factor=3, late=1)
    trend = trend_of(aurora, permissions={Permission.READ_AUDIT_LOG}, now=NOON)
    assert {figure.name for figure in STORED} - {line.figure.name for line in trend.lines} == {"people_without_factor"}
