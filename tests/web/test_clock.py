"""The clock that decides what is deleted is the database's."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import transaction

from web.clock import ClockDiffers, agreed_now, database_now

pytestmark = pytest.mark.django_db


def test_the_databases_clock_does_not_follow_that_of_the_process():
    with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC)):
        assert database_now() < datetime(2031, 1, 1, tzinfo=UTC) - timedelta(days=300)


def test_the_clock_goes_on_within_a_transaction():
    with transaction.atomic():
        first = database_now()
        assert database_now() > first


@pytest.mark.parametrize("apart", [timedelta(seconds=-62), timedelta(seconds=62), timedelta(days=400)])
def test_a_process_whose_clock_is_more_than_a_minute_off_gets_no_instant(apart):
    with time_machine.travel(datetime.now(UTC) + apart), pytest.raises(ClockDiffers, match="set the wrong one right"):
        agreed_now()


@pytest.mark.parametrize("apart", [timedelta(seconds=-50), timedelta(0), timedelta(seconds=50)])
def test_within_a_minute_the_databases_instant_counts(apart):
    before = database_now()
    with time_machine.travel(datetime.now(UTC) + apart):
        found = agreed_now()

    assert before < found < database_now()
