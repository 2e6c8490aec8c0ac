from django.db import migrations, models
from django.utils import timezone


class Migration(migrations.Migration):
    dependencies = [("archival", "0010_silence")]

    operations = [
        migrations.AddField("policychange", "announced", models.JSONField(default=dict)),
        migrations.AddField("policychange", "counted_at", models.DateTimeField(default=timezone.now)),
        migrations.RunSQL("UPDATE archival_policychange SET counted_at = requested_at", migrations.RunSQL.noop),
    ]
