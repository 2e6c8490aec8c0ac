"""What somebody reads or downloads is one event an hour; there are no such events yet, so the index is empty."""

from datetime import UTC

from django.db import migrations, models
from django.db.models.functions import TruncHour

from web.operations import BuildIndex


class Migration(migrations.Migration):
    atomic = False  # the index is built while reads and writes go on

    dependencies = [("audit", "0004_seals")]

    operations = [
        BuildIndex(
            "one_read_an_hour",
            "audit_event (subject_id, organisation_id, action, actor_kind, actor_id, impersonator_id,"
            " date_trunc('hour', at AT TIME ZONE 'UTC')) NULLS NOT DISTINCT"
            " WHERE action LIKE '%.read' OR action LIKE '%.downloaded'",
            is_unique=True,
            state_operations=[
                migrations.AddConstraint(
                    "event",
                    models.UniqueConstraint(
                        *("subject_id", "organisation_id", "action", "actor_kind", "actor_id", "impersonator_id"),
                        TruncHour("at", tzinfo=UTC),
                        condition=models.Q(
                            ("action__endswith", ".read"), ("action__endswith", ".downloaded"), _connector="OR"
                        ),
                        nulls_distinct=False,
                        name="one_read_an_hour",
                    ),
                )
            ],
        )
    ]
