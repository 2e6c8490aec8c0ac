"""Instants lie in the calendar. Without looking at older rows, so that each table is locked for a moment alone."""

from datetime import UTC, datetime

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
DAYS = CALENDAR[0].date(), CALENDAR[1].date()
END = datetime.max.replace(tzinfo=UTC)


def in_calendar(*clocks: str) -> models.Q:
    return models.Q(*(models.Q((f"{clock}__range", CALENDAR)) for clock in clocks))


CONSTRAINTS = (
    ("attachment", in_calendar("sent_at"), "attachment_is_in_the_calendar"),
    ("blob", in_calendar("created_at"), "blob_is_in_the_calendar"),
    ("contact", in_calendar("created_at", "last_activity_at"), "contact_is_in_the_calendar"),
    (
        "conversation",
        in_calendar("created_at", "oldest_item_at", "last_activity_at"),
        "conversation_is_in_the_calendar",
    ),
    ("conversationvariable", in_calendar("written_at"), "variable_is_in_the_calendar"),
    ("dailycount", models.Q(("day__range", DAYS)), "count_is_in_the_calendar"),
    ("dailycountdelta", models.Q(("day__range", DAYS)), "delta_is_in_the_calendar"),
    (
        "message",
        in_calendar("sent_at") & models.Q(("claimed_at__range", (CALENDAR[0], END))),
        "message_is_in_the_calendar",
    ),
)


class Migration(migrations.Migration):
    dependencies = [("conversations", "0003_table_settings")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        *(
            AddConstraintNotValid(model, models.CheckConstraint(condition=condition, name=name))
            for model, condition, name in CONSTRAINTS
        ),
    ]
