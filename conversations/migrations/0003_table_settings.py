"""Storage parameters that the measurements behind the purge ask for."""

from django.db import migrations

# Room on each page, so that a touch by ingest can update a conversation in place (heap-only) as long as no index moves.
CONVERSATION = "ALTER TABLE conversations_conversation SET (fillfactor = 80)"
# Previews count messages from the index alone while the visibility map is fresh.
MESSAGE = """
ALTER TABLE conversations_message
  SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02)
"""


class Migration(migrations.Migration):
    dependencies = [("conversations", "0002_daily_count_deltas")]

    operations = [
        migrations.RunSQL(CONVERSATION, "ALTER TABLE conversations_conversation RESET (fillfactor)"),
        migrations.RunSQL(
            MESSAGE,
            "ALTER TABLE conversations_message "
            "RESET (autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_scale_factor)",
        ),
    ]
