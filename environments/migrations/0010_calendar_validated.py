from django.db import migrations

from web.operations import ValidateIfItHolds


class Migration(migrations.Migration):
    atomic = False  # each table by itself; reads and writes go on

    dependencies = [("environments", "0009_calendar_not_valid")]

    operations = [
        ValidateIfItHolds("mfachange", "mfa_change_is_in_the_calendar"),
        ValidateIfItHolds("mfareminder", "reminder_is_in_the_calendar"),
        ValidateIfItHolds("organisation", "organisation_is_in_the_calendar"),
    ]
