"""Identity providers that organisations add for their own people."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import Q

from environments.models.providers import new_key
from web.clock import in_calendar

STATES = [("draft", "must be tried"), ("tried", "tried"), ("on", "on"), ("off", "off")]


class Migration(migrations.Migration):
    dependencies = [("environments", "0025_reserved_slugs")]

    operations = [
        migrations.CreateModel(
            name="IdentityProvider",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(default=new_key, editable=False, max_length=24, unique=True)),
                ("title", models.CharField(max_length=60)),
                ("issuer", models.CharField(blank=True, max_length=255)),
                ("client_id", models.CharField(blank=True, max_length=255)),
                ("secret", models.BinaryField(null=True)),
                ("email_is_trusted", models.BooleanField(default=False)),
                ("state", models.CharField(choices=STATES, default="draft", max_length=5)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("tried_at", models.DateTimeField(null=True)),
                ("trial", models.JSONField(null=True)),
                (
                    "domains",
                    models.ManyToManyField(related_name="identity_providers", to="environments.organisationdomain"),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="identity_providers",
                        to="environments.organisation",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(state="draft")
                        | (Q(tried_at__isnull=False, secret__isnull=False) & ~Q(issuer="") & ~Q(client_id="")),
                        name="identity_provider_was_tried",
                    ),
                    models.CheckConstraint(
                        condition=in_calendar("created_at", "tried_at"), name="identity_provider_is_in_the_calendar"
                    ),
                ],
            },
        ),
    ]
