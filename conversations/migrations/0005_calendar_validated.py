from django.db import migrations

from web.operations import ValidateIfItHolds


class Migration(migrations.Migration):
    atomic = False  # each table by itself; reads and writes go on

    dependencies = [("conversations", "0004_calendar_not_valid")]

    operations = [
        ValidateIfItHolds("attachment", "attachment_is_in_the_calendar"),
        ValidateIfItHolds("blob", "blob_is_in_the_calendar"),
        ValidateIfItHolds("contact", "contact_is_in_the_calendar"),
        ValidateIfItHolds("conversation", "conversation_is_in_the_calendar"),
        ValidateIfItHolds("conversationvariable", "variable_is_in_the_calendar"),
        ValidateIfItHolds("dailycount", "count_is_in_the_calendar"),
        ValidateIfItHolds("dailycountdelta", "delta_is_in_the_calendar"),
        ValidateIfItHolds("message", "message_is_in_the_calendar"),
    ]
