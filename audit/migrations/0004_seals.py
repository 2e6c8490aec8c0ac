"""The chain of seals. The database refuses to change or delete a seal, as it does with events."""

from datetime import UTC, datetime

import django.contrib.postgres.fields
from django.db import migrations, models

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
FORBID = [
    """
CREATE FUNCTION audit_seal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'seals of the audit log are append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$
""",
    """
CREATE TRIGGER audit_seal_is_append_only BEFORE UPDATE OR DELETE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION audit_seal_is_append_only()
""",
]
ALLOW = ["DROP TRIGGER audit_seal_is_append_only ON audit_seal", "DROP FUNCTION audit_seal_is_append_only()"]


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_calendar")]

    operations = [
        migrations.CreateModel(
            name="SealingLimit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("last_event", models.BigIntegerField()),
                (
                    "writers",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), size=None),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Seal",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("first_event", models.BigIntegerField()),
                ("last_event", models.BigIntegerField()),
                ("count", models.IntegerField()),
                ("leaves", models.BinaryField()),
                ("sealed_at", models.DateTimeField()),
                ("hash", models.CharField(max_length=64)),
                ("signed_with", models.CharField(max_length=16)),
                ("signature", models.BinaryField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(models.Q(("sealed_at__range", CALENDAR))), name="seal_is_in_the_calendar"
                    )
                ],
            },
        ),
        migrations.RunSQL(FORBID, ALLOW),
    ]
