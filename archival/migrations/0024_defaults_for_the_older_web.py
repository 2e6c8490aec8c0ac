"""Defaults in the database for columns that the web of the release before, which still runs, does not know."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("archival", "0023_unsent_alarm_in_the_calendar")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        migrations.AlterField(
            "policychange", "organisation_label", models.CharField(max_length=255, default="", db_default="")
        ),
        migrations.AlterField(
            "policychange", "new_parent_label", models.CharField(max_length=255, blank=True, default="", db_default="")
        ),
    ]
