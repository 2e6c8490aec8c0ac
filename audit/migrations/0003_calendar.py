"""Instants lie in the calendar. Rows from before that do not are listed, and stay as they are."""

from datetime import UTC, datetime

from django.db import migrations, models

from web.operations import AddThenValidate

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def in_calendar(*clocks: str) -> models.Q:
    return models.Q(*(models.Q((f"{clock}__range", CALENDAR)) for clock in clocks))


CONSTRAINTS = (("event", in_calendar("at"), "event_is_in_the_calendar"),)


class Migration(migrations.Migration):
    atomic = False  # each table by itself; reads and writes go on

    dependencies = [("audit", "0002_append_only")]

    operations = [
        AddThenValidate(model, models.CheckConstraint(condition=condition, name=name))
        for model, condition, name in CONSTRAINTS
    ]
