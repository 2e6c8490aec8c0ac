"""Short names that organisations had before, which no other one ever gets."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from web.clock import in_calendar


class Migration(migrations.Migration):
    dependencies = [("environments", "0024_announced_with_others")]

    operations = [
        migrations.CreateModel(
            name="ReservedSlug",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.SlugField(max_length=63, unique=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "organisation",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="reserved_slugs",
                        to="environments.organisation",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=in_calendar("created_at"), name="reserved_slug_is_in_the_calendar"
                    ),
                ],
            },
        ),
    ]
