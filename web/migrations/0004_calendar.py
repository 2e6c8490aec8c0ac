from datetime import UTC, datetime

from django.db import migrations, models

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def in_calendar(*clocks: str) -> models.Q:
    return models.Q(*(models.Q((f"{clock}__range", CALENDAR)) for clock in clocks))


class Migration(migrations.Migration):
    """Instants lie in the calendar: a mail that cannot be read would keep all others from leaving."""

    dependencies = [("web", "0003_deliveries_by_the_databases_clock")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        migrations.AddConstraint(
            "delivery",
            models.CheckConstraint(
                condition=in_calendar("queued_at", "next_try_at", "expires_at", "ended_at"),
                name="delivery_is_in_the_calendar",
            ),
        ),
        migrations.AddConstraint(
            "heartbeat",
            models.CheckConstraint(condition=in_calendar("at"), name="heartbeat_is_in_the_calendar"),
        ),
    ]
