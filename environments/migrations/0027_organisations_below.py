"""Indexes that have all that is asked about what is below an organisation."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("environments", "0026_identity_providers")]

    operations = [
        migrations.AddIndex(
            "organisation", models.Index(models.F("path"), include=("id", "is_suspended"), name="organisations_below")
        ),
        migrations.AddIndex(
            "organisation",
            models.Index(
                models.F("path"),
                condition=models.Q(kind="environment"),
                include=(
                    *("id", "is_suspended", "effective_require_mfa", "require_mfa_source"),
                    "effective_archive_after_days",
                ),
                name="environments_below",
            ),
        ),
        migrations.AddIndex(
            "organisation",
            models.Index(
                models.F("path"),
                condition=models.Q(("kind", "environment"), _negated=True),
                include=("id", "name", "slug"),
                name="organisations_of_environments",
            ),
        ),
    ]
