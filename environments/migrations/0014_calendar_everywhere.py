"""Instants lie in the calendar. Rows from before that do not are listed, and stay as they are."""

from datetime import UTC, datetime

from django.db import migrations, models

from web.operations import AddThenValidate

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def in_calendar(*clocks: str) -> models.Q:
    return models.Q(*(models.Q((f"{clock}__range", CALENDAR)) for clock in clocks))


CONSTRAINTS = (
    (
        "organisationdomain",
        in_calendar("created_at", "verified_at", "checked_at", "next_check_at", "unconfirmed_since", "missing_since"),
        "domain_is_in_the_calendar",
    ),
    ("membership", in_calendar("created_at", "accepted_at", "expires_at"), "membership_is_in_the_calendar"),
    ("invitation", in_calendar("created_at", "expires_at", "used_at"), "invitation_is_in_the_calendar"),
    ("accessrequest", in_calendar("created_at", "answered_at"), "access_request_is_in_the_calendar"),
    (
        "apikey",
        in_calendar("created_at", "expires_at", "last_used_at", "revoked_at", "rests_since"),
        "api_key_is_in_the_calendar",
    ),
)


class Migration(migrations.Migration):
    atomic = False  # each table by itself; reads and writes go on

    dependencies = [("environments", "0013_deactivation_ends_keys")]

    operations = [
        AddThenValidate(model, models.CheckConstraint(condition=condition, name=name))
        for model, condition, name in CONSTRAINTS
    ]
