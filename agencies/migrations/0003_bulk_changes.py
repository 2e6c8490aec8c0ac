import uuid
from datetime import UTC, datetime

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class Migration(migrations.Migration):
    dependencies = [
        ("agencies", "0002_factor_reminders"),
        ("archival", "0027_announced_with_others"),
        ("environments", "0024_announced_with_others"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BulkChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("organisation_label", models.CharField(max_length=255)),
                ("requested_label", models.CharField(max_length=320)),
                ("requested_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("wanted", models.JSONField()),
                ("deletes_at_once", models.BooleanField(db_default=False, default=False)),
                ("environment_count", models.PositiveIntegerField(db_default=0, default=0)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "organisation",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="bulk_changes",
                        to="environments.organisation",
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "reverts",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="reversals",
                        to="agencies.bulkchange",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="BulkItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("environment_label", models.CharField(max_length=255)),
                ("wanted", models.JSONField()),
                ("before", models.JSONField(db_default={}, default=dict)),
                ("left", models.JSONField(db_default={}, default=dict)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("changed", "Changed"),
                            ("pending", "Pending"),
                            ("unchanged", "Unchanged"),
                            ("refused", "Refused"),
                            ("failed", "Failed"),
                        ],
                        default="waiting",
                        max_length=9,
                    ),
                ),
                ("reason", models.CharField(blank=True, db_default="", default="", max_length=255)),
                ("tries", models.PositiveSmallIntegerField(db_default=0, default=0)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "environment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="environments.organisation",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="agencies.bulkchange",
                    ),
                ),
                (
                    "mfa_change",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="environments.mfachange",
                    ),
                ),
                (
                    "policy_change",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="archival.policychange",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="bulkchange",
            index=models.Index(models.F("id"), condition=models.Q(("ended_at", None)), name="bulk_change_running"),
        ),
        migrations.AddConstraint(
            model_name="bulkchange",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("requested_at__range", CALENDAR)), models.Q(("ended_at__range", CALENDAR))
                ),
                name="bulk_change_is_in_the_calendar",
            ),
        ),
        migrations.AddIndex(
            model_name="bulkitem",
            index=models.Index(
                models.F("job"),
                models.F("tries"),
                models.F("id"),
                condition=models.Q(("state", "waiting")),
                name="bulk_item_waiting",
            ),
        ),
        migrations.AddConstraint(
            model_name="bulkitem",
            constraint=models.UniqueConstraint(fields=("job", "environment"), name="one_item_per_job_and_environment"),
        ),
        migrations.AddConstraint(
            model_name="bulkitem",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["waiting", "changed", "pending", "unchanged", "refused", "failed"])),
                name="bulk_item_state_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="bulkitem",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("ended_at__range", CALENDAR))), name="bulk_item_is_in_the_calendar"
            ),
        ),
        migrations.AddConstraint(
            model_name="bulkitem",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at", None), ("state", "waiting")),
                    models.Q(models.Q(("state", "waiting"), _negated=True), ("ended_at__isnull", False)),
                    _connector="OR",
                ),
                name="bulk_item_waits_or_ended",
            ),
        ),
    ]
