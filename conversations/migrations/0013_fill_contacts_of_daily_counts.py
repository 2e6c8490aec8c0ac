"""Count the contacts that are stored, each on the oldest day of its oldest conversation; those deleted are unknown."""

from typing import Any

from django.db import migrations

FILL = """
INSERT INTO conversations_dailycount
  (environment_id, day, channel, conversations, messages, bytes, contacts, has_all_contacts)
SELECT environment_id, day, channel, 0, 0, 0, count(*), FALSE FROM (
  SELECT DISTINCT ON (contact_id) environment_id, (oldest_item_at AT TIME ZONE 'UTC')::date AS day, channel
  FROM conversations_conversation ORDER BY contact_id, oldest_item_at, id) AS first
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (environment_id, day, channel) DO UPDATE SET contacts = EXCLUDED.contacts
"""


def fill(_: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(FILL)


class Migration(migrations.Migration):
    dependencies = [("conversations", "0012_contacts_of_daily_counts")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
