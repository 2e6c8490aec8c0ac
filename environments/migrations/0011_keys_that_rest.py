"""Organisations' own keys that rest, and what persons' keys have forgotten."""

import django.contrib.postgres.fields
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("environments", "0010_calendar_validated"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '10s'", migrations.RunSQL.noop),
        migrations.AddField(
            model_name="apikey",
            name="ended_in",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(), blank=True, default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="rests_because",
            field=models.CharField(
                blank=True,
                choices=[
                    ("lost", "The responsible person lost the permissions"),
                    ("gone", "The responsible person has left"),
                    ("held", "The responsible person must add a second factor"),
                ],
                max_length=4,
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="rests_since",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("rests_because", ""), ("rests_since", None)),
                    models.Q(("rests_because__in", ["lost", "gone", "held"]), ("rests_since__isnull", False)),
                    _connector="OR",
                ),
                name="api_key_rests_for_a_reason",
            ),
        ),
    ]
