"""Find what somebody did while they viewed Studio as another; few events are like that."""

from django.db import migrations, models

from web.operations import BuildIndex


class Migration(migrations.Migration):
    atomic = False  # the index is built while reads and writes go on

    dependencies = [("audit", "0005_one_read_an_hour")]

    operations = [
        BuildIndex(
            "event_impersonator",
            "audit_event (impersonator_id, at DESC) WHERE impersonator_id IS NOT NULL",
            state_operations=[
                migrations.AddIndex(
                    "event",
                    models.Index(
                        fields=["impersonator_id", "-at"],
                        condition=models.Q(("impersonator_id__isnull", False)),
                        name="event_impersonator",
                    ),
                )
            ],
        )
    ]
