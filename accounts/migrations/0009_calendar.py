"""Instants lie in the calendar. Rows from before that do not are listed, and stay as they are."""

from datetime import UTC, datetime

from django.db import migrations, models

from web.operations import AddThenValidate

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def in_calendar(*clocks: str) -> models.Q:
    return models.Q(*(models.Q((f"{clock}__range", CALENDAR)) for clock in clocks))


CONSTRAINTS = (
    ("user", in_calendar("created_at", "last_active_at", "last_login"), "user_is_in_the_calendar"),
    ("totpdevice", in_calendar("created_at", "last_used_at", "throttling_failure_timestamp"), "app_is_in_the_calendar"),
    ("recoverycode", in_calendar("created_at", "used_at"), "recovery_code_is_in_the_calendar"),
    (
        "sessionrecord",
        in_calendar("opened_at", "factor_at", "stepped_up_at", "last_seen_at", "ended_at", "looks_until"),
        "session_is_in_the_calendar",
    ),
    ("failurebudget", in_calendar("since"), "budget_is_in_the_calendar"),
    ("emailchange", in_calendar("created_at", "expires_at"), "email_change_is_in_the_calendar"),
    ("mailboxcode", in_calendar("created_at", "expires_at", "used_at"), "mailbox_code_is_in_the_calendar"),
)


class Migration(migrations.Migration):
    atomic = False  # each table by itself; reads and writes go on

    dependencies = [("accounts", "0008_what_a_session_rests_on")]

    operations = [
        AddThenValidate(model, models.CheckConstraint(condition=condition, name=name))
        for model, condition, name in CONSTRAINTS
    ]
