"""Holds without the trigger of 0022: it reads conversations and contacts by id alone, on every write of a tenant.

The service that places a hold checks its environment, and whatever asks for holds does so by environment, so that a hold
of another one covers nothing.
"""

from django.db import migrations

from web.operations import LockBriefly


class Migration(migrations.Migration):
    dependencies = [("archival", "0025_labels_of_deletions_and_runs")]

    operations = [
        LockBriefly(
            ["archival_hold"],
            "DROP TRIGGER archival_hold_is_of_its_environment ON archival_hold",
            "DROP FUNCTION archival_hold_is_of_its_environment()",
        )
    ]
