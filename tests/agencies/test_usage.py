"""The page of usage: what was stored below an organisation, by day or month and by channel, and its file."""

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from agencies.usage.chart import Counts, lay_out
from agencies.usage.choices import Period
from agencies.usage.queries import usage_of
from conversations.models import DailyCount
from environments.choices import Kind, Role
from environments.models import Organisation
from tests.factories import environment, member, organisation
from tests.logging_in import logged_in_client
from tests.queries import count_queries

TODAY = date(2026, 3, 15)
DAYS = st.dates(date(2020, 1, 1), date(2030, 12, 31))
COUNTS = st.builds(Counts, *[st.integers(0, 10**6)] * 4)


@given(today=DAYS, ago=st.integers(0, 3_000), period=st.sampled_from(Period))
def test_the_periods_cover_every_day_up_to_today_once(today, ago, period):
    beginning = today - timedelta(days=ago)
    starts = period.starts(today=today, beginning=beginning)

    assert starts == sorted(set(starts))
    assert starts[-1] == (today.replace(day=1) if period.is_in_months else today)
    if period == Period.EVERYTHING:
        assert starts[0] == beginning.replace(day=1)
    if period.is_in_months:
        assert {start.day for start in starts} == {1}
        months = [start.year * 12 + start.month for start in starts]
        assert months == list(range(months[0], months[-1] + 1))
    else:
        assert (starts[-1] - starts[0]).days == len(starts) - 1


@given(rows=st.lists(st.tuples(st.sampled_from([TODAY - timedelta(days=1), TODAY]), st.sampled_from("abc"), COUNTS)))
def test_all_adds_up_however_it_is_split(rows):
    usage = usage_of(rows, [TODAY - timedelta(days=1), TODAY])
    everything = sum((counts for _day, _channel, counts in rows), Counts())

    assert usage.total == everything
    assert sum((counts for _channel, counts in usage.channels), Counts()) == everything
    assert sum((bar.counts for bar in usage.chart.bars), Counts()) == everything


@pytest.mark.parametrize("count", [1, 2, 12, 30, 90, 400])
def test_the_chart_fits_and_names_few_dates_for_any_number_of_periods(count):
    days = [TODAY - timedelta(days=ago) for ago in reversed(range(count))]
    chart = lay_out(days, {TODAY: Counts(conversations=10)})

    last = chart.bars[-1]
    assert float(last.x[:-1]) + float(last.width[:-1]) <= 100
    assert len(chart.dates) <= 5
    assert all(float(bar.middle[:-1]) < 90 for bar in chart.dates)


@pytest.fixture
def agency(db) -> Organisation:
    """Aurora with two environments, counts of three days and channels, and another agency's."""
    aurora = organisation(Kind.AGENCY, name="Aurora", slug="aurora")
    shop = environment(parent=aurora, name="Shop", slug="shop")
    desk = environment(parent=aurora, name="Desk", slug="desk")
    elsewhere = environment(name="Elsewhere", slug="elsewhere")
    for of, day, channel, conversations in [
        (shop, TODAY, "web", 5),
        (shop, TODAY - timedelta(days=40), "whatsapp", 7),
        (desk, TODAY, "web", 2),
        (desk, date(2024, 6, 3), "sms", 1),
        (elsewhere, TODAY, "web", 1_000),
    ]:
        DailyCount.objects.create(
            environment=of,
            day=day,
            channel=channel,
            conversations=conversations,
            messages=conversations * 3,
            contacts=conversations - 1,
            has_all_contacts=day > date(2026, 1, 1),
            bytes=10,
        )
    return aurora


@pytest.fixture
def ada(agency):
    with time_machine.travel(datetime(2026, 3, 15, 12, tzinfo=UTC), tick=False):
        yield logged_in_client(member(agency))


def total(client, query: str = "", slug: str = "aurora") -> int:
    return client.get(f"/{slug}/usage/{query}").context["usage"].total.conversations


def filed(client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"/aurora/usage.csv{query}")
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", 7),
        ("?period=90-days", 14),
        ("?period=90-days&channel=whatsapp", 7),
        ("?period=12-months", 14),
        ("?period=everything", 15),
        ("?period=everything&channel=sms", 1),
        ("?period=nonsense&channel=nonsense", 7),
    ],
)
def test_page_and_file_count_everything_below_in_the_period_and_the_channel(ada, query, expected):
    assert total(ada, query) == expected
    assert sum(int(row["conversations"]) for row in filed(ada, query)) == expected


def test_an_environment_counts_itself_alone(ada):
    assert total(ada, "?period=everything", slug="shop") == 12


def test_the_page_shows_the_channels_and_the_months_up_to_the_beginning(ada):
    page = ada.get("/aurora/usage/?period=everything")

    assert [channel for channel, _counts in page.context["usage"].channels] == ["web", "whatsapp", "sms"]
    bars = page.context["usage"].chart.bars
    assert (bars[0].day, bars[-1].day, len(bars)) == (date(2024, 6, 1), date(2026, 3, 1), 22)
    assert re.search(r"this month, 7\s*<", page.text)


def test_the_file_names_day_environment_and_channel(ada):
    assert filed(ada, "?period=everything")[0] == {
        "day": "2024-06-03",
        "environment": "Desk",
        "short_name": "desk",
        "channel": "sms",
        "conversations": "1",
        "messages": "3",
        "new_contacts": "0",
        "has_all_new_contacts": "no",
        "attachment_bytes": "10",
    }
    assert filed(ada)[0]["has_all_new_contacts"] == "yes"


def test_the_chart_shows_what_is_asked_for(ada):
    for show, label, count in [("contacts", "New contacts a day", 5), ("messages", "Messages a day", 21)]:
        page = ada.get(f"/aurora/usage/?show={show}")
        assert page.context["usage"].chart.now.count == count
        assert f'<title id="chart-title">{label}</title>' in page.text
    assert "New contacts a month" in ada.get("/aurora/usage/?show=contacts&period=everything").text


@pytest.mark.parametrize(
    ("query", "is_said"),
    [
        ("", False),
        ("?period=everything", True),
        ("?period=everything&channel=sms", True),
        ("?period=everything&channel=web", False),
    ],
)
def test_it_says_up_to_when_not_all_new_contacts_were_counted(ada, query, is_said):
    page = ada.get(f"/aurora/usage/{query}").text
    assert ("Up to 3 Jun 2024, only the contacts are counted that were still stored" in page) == is_said


def test_an_organisation_without_anything_stored_says_so(ada):
    fresh = environment(name="Fresh", slug="fresh")
    page = logged_in_client(member(fresh)).get("/fresh/usage/?period=everything")
    assert "Nothing was stored in this period." in page.text


def test_it_is_for_readers_of_the_audit_log(agency, ada):
    assert logged_in_client(member(agency, Role.MEMBER)).get("/aurora/usage/").status_code == 403
    assert logged_in_client(member(Organisation.objects.get(slug="elsewhere"))).get("/aurora/usage/").status_code == 404


@pytest.mark.parametrize("count", [1, 50])
def test_it_costs_the_same_for_one_environment_and_for_fifty(agency, ada, count):
    for number in range(count):
        made = environment(parent=agency, slug=f"extra-{number}")
        DailyCount.objects.create(environment=made, day=TODAY, channel=f"c{number}", conversations=1, messages=1)
    assert count_queries(lambda: ada.get("/aurora/usage/")) <= 8
