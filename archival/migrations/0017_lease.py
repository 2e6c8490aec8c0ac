from datetime import UTC, datetime

from django.db import migrations, models

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class Migration(migrations.Migration):
    dependencies = [("archival", "0016_outbox_file")]

    operations = [
        migrations.CreateModel(
            name="Lease",
            fields=[
                ("name", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("holder", models.CharField(max_length=255)),
                ("taken_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("taken_at__range", CALENDAR)), models.Q(("expires_at__range", CALENDAR))
                        ),
                        name="lease_is_in_the_calendar",
                    )
                ]
            },
        ),
    ]
