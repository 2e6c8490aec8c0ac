"""The environment of each item, and the seq of an attachment's message: columns that migrations fill in slices.

Until 0011, triggers fill them in new rows, since the web of the release before does not know them. Each table has a
transaction of its own, so that nobody waits for two tables at once; a run that was cut off can be repeated.
"""

import django.db.models.deletion
from django.db import migrations, models

from web.operations import LockBriefly

ENVIRONMENT = """
CREATE OR REPLACE FUNCTION conversations_fill_environment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.environment_id IS NULL THEN
        NEW.environment_id := (
            SELECT c.environment_id FROM conversations_conversation c WHERE c.id = NEW.conversation_id);
    END IF;
    RETURN NEW;
END $$
"""
MESSAGE_SEQ = """
CREATE OR REPLACE FUNCTION conversations_fill_message_seq() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.message_seq IS NULL AND NEW.message_id IS NOT NULL THEN
        NEW.message_seq := (SELECT m.seq FROM conversations_message m WHERE m.id = NEW.message_id);
    END IF;
    RETURN NEW;
END $$
"""
ALTER, CHECK = "ALTER TABLE conversations_attachment", "conversations_attachment_message_seq_check"


def fill_by(function: str, table: str) -> str:
    return f"CREATE OR REPLACE TRIGGER {function} BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()"


def with_environment(model: str, *more: str, state: tuple[migrations.AddField, ...] = ()) -> LockBriefly:
    table = f"conversations_{model}"
    key = models.ForeignKey(
        "environments.organisation",
        django.db.models.deletion.DO_NOTHING,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    return LockBriefly(
        [table],
        f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS environment_id bigint",
        fill_by("conversations_fill_environment", table),
        *more,
        state_operations=[migrations.AddField(model, "environment", key), *state],
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("conversations", "0007_received_at_validated"), ("environments", "0001_initial")]

    operations = [
        migrations.RunSQL(ENVIRONMENT),
        migrations.RunSQL(MESSAGE_SEQ),
        with_environment("message"),
        with_environment("conversationvariable"),
        with_environment(
            "attachment",
            f"{ALTER} ADD COLUMN IF NOT EXISTS message_seq integer",
            fill_by("conversations_fill_message_seq", "conversations_attachment"),
            state=(migrations.AddField("attachment", "message_seq", models.PositiveIntegerField(null=True)),),
        ),
        # As Django would add it with the column, but without reading every row under the lock.
        LockBriefly(
            ["conversations_attachment"],
            f"{ALTER} ADD CONSTRAINT {CHECK} CHECK (message_seq >= 0) NOT VALID",
            adds=CHECK,
        ),
    ]
