"""Holds without the trigger of 0022: it reads conversations and contacts by id alone, on every write of a tenant.

The service that places a hold checks its environment, and whatever asks for holds does so by environment, so that a hold
of another one covers nothing.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("archival", "0025_labels_of_deletions_and_runs")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'"),
        migrations.RunSQL("DROP TRIGGER archival_hold_is_of_its_environment ON archival_hold"),
        migrations.RunSQL("DROP FUNCTION archival_hold_is_of_its_environment()"),
    ]
