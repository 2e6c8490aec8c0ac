from datetime import UTC, datetime

from django.db import migrations, models

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class Migration(migrations.Migration):
    dependencies = [("environments", "0011_keys_that_rest")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        migrations.AddField("organisation", "archival_tightened_at", models.DateTimeField(editable=False, null=True)),
        migrations.AddField(
            "organisation", "archival_days_before", models.PositiveSmallIntegerField(editable=False, null=True)
        ),
        migrations.AddConstraint(
            "organisation",
            models.CheckConstraint(
                condition=models.Q(models.Q(("archival_tightened_at__range", CALENDAR))),
                name="tightening_is_in_the_calendar",
            ),
        ),
    ]
