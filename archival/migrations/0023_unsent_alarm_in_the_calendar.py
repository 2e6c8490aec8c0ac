from datetime import UTC, datetime

from django.db import migrations, models

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class Migration(migrations.Migration):
    dependencies = [("archival", "0022_hold_of_its_environment")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        migrations.AddConstraint(
            "policychange",
            models.CheckConstraint(
                condition=models.Q(models.Q(("unsent_alarm_at__range", CALENDAR))),
                name="unsent_alarm_is_in_the_calendar",
            ),
        ),
    ]
