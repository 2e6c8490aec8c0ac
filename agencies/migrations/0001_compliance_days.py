from datetime import date

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [("environments", "0019_opened_environment")]

    operations = [
        migrations.CreateModel(
            name="ComplianceDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("figures", models.JSONField()),
                (
                    "organisation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="compliance_days",
                        to="environments.organisation",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(day__range=(date(1, 1, 1), date(9000, 1, 1))),
                        name="figures_are_in_the_calendar",
                    ),
                    models.UniqueConstraint(fields=("organisation", "day"), name="one_compliance_day_per_organisation"),
                ],
            },
        ),
    ]
