from django.db import migrations

from web.operations import ValidateIfItHolds


class Migration(migrations.Migration):
    atomic = False  # reads and writes go on

    dependencies = [("conversations", "0006_received_at")]

    operations = [ValidateIfItHolds("message", "arrival_is_in_the_calendar")]
