"""Instants lie in the calendar. Without looking at older rows, so that each table is locked for a moment alone."""

from datetime import UTC, datetime

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def in_calendar(*clocks: str) -> models.Q:
    return models.Q(*(models.Q((f"{clock}__range", CALENDAR)) for clock in clocks))


CONSTRAINTS = (
    ("mfachange", in_calendar("requested_at", "acts_at", "ended_at"), "mfa_change_is_in_the_calendar"),
    ("mfareminder", in_calendar("sent_at"), "reminder_is_in_the_calendar"),
    ("organisation", in_calendar("created_at", "suspended_at", "archival_since"), "organisation_is_in_the_calendar"),
)


class Migration(migrations.Migration):
    dependencies = [("environments", "0008_name_organisations_of_mfa_changes")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        *(
            AddConstraintNotValid(model, models.CheckConstraint(condition=condition, name=name))
            for model, condition, name in CONSTRAINTS
        ),
    ]
