from django.db import migrations

from web.operations import ValidateIfItHolds


class Migration(migrations.Migration):
    atomic = False  # each table by itself; reads and writes go on

    dependencies = [("archival", "0018_calendar_not_valid")]

    operations = [
        ValidateIfItHolds("blobtodelete", "outbox_is_in_the_calendar"),
        ValidateIfItHolds("deletion", "deletion_is_in_the_calendar"),
        ValidateIfItHolds("erasure", "erasure_is_in_the_calendar"),
        ValidateIfItHolds("guard", "guard_is_in_the_calendar"),
        ValidateIfItHolds("hold", "hold_is_in_the_calendar"),
        ValidateIfItHolds("journalentry", "entry_is_in_the_calendar"),
        ValidateIfItHolds("policychange", "change_is_in_the_calendar"),
        ValidateIfItHolds("proof", "proof_is_in_the_calendar"),
        ValidateIfItHolds("purgerun", "run_is_in_the_calendar"),
        ValidateIfItHolds("receipt", "receipt_is_in_the_calendar"),
        ValidateIfItHolds("silence", "silence_is_in_the_calendar"),
    ]
