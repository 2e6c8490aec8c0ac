from datetime import UTC, datetime

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class Migration(migrations.Migration):
    dependencies = [("conversations", "0005_calendar_validated")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        migrations.AddField("message", "received_at", models.DateTimeField(null=True)),
        AddConstraintNotValid(
            "message",
            models.CheckConstraint(
                condition=models.Q(models.Q(("received_at__range", CALENDAR))), name="arrival_is_in_the_calendar"
            ),
        ),
    ]
