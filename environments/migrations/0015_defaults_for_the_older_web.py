"""Defaults in the database for columns that the web of the release before, which still runs, does not know."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("environments", "0014_calendar_everywhere")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        migrations.AlterField(
            "mfachange", "organisation_label", models.CharField(max_length=255, default="", db_default="")
        ),
        migrations.AlterField(
            "apikey", "ended_in", ArrayField(models.BigIntegerField(), default=list, db_default=[], blank=True)
        ),
        migrations.AlterField(
            "apikey",
            "rests_because",
            models.CharField(
                max_length=4,
                blank=True,
                default="",
                db_default="",
                choices=[
                    ("lost", "The responsible person lost the permissions"),
                    ("gone", "The responsible person has left"),
                    ("held", "The responsible person must add a second factor"),
                ],
            ),
        ),
    ]
