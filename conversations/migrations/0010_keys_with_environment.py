"""Keys, indexes and foreign keys with the environment, beside the old ones; reads and writes go on.

Every step can be run again, so a run that was cut off can be repeated.
"""

from typing import Any

from django.core.management import CommandError
from django.db import migrations, models

from web.operations import BuildIndex, LockBriefly, first_of

# The foreign key is by id alone. The purge and the outbox look for references in the blob's environment only.
WITH_FILE_OF_ANOTHER = """
SELECT a.id FROM conversations_attachment a WHERE a.blob_id IS NOT NULL AND NOT EXISTS (
  SELECT FROM conversations_blob b WHERE b.id = a.blob_id AND b.environment_id = a.environment_id)
ORDER BY a.id
"""


def check_files(_: Any, schema_editor: Any) -> None:
    """Raise ``CommandError``, before anything is changed, if an attachment has a file of another environment."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(WITH_FILE_OF_ANOTHER)
        ids = [str(pk) for (pk,) in cursor.fetchall()]
    if ids:
        raise CommandError(
            f"conversations_attachment has rows whose blob is of another environment: {first_of(ids)}. Set their blob_id"
            " to a blob of their own environment, or to NULL, and migrate again. Until then the release before runs on."
        )


def validate(model: str, name: str) -> migrations.RunSQL:
    return migrations.RunSQL(f"ALTER TABLE conversations_{model} VALIDATE CONSTRAINT {name}")


def refer(model: str, name: str, field: str, other: str) -> list[migrations.RunSQL]:
    """Return the steps after which a row is of the same environment as the row that it refers to.

    RESTRICT asks once whether a row still refers to the one that is deleted; NO ACTION also whether another took its place.
    """
    table, target = f"conversations_{model}", f"conversations_{other}"
    return [
        LockBriefly(
            [target, table],
            # Otherwise the table would be locked before the target, and a batch of the purge would wait in between.
            f"LOCK TABLE {target}, {table} IN EXCLUSIVE MODE",
            f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({field}, environment_id)"
            f" REFERENCES {target} (id, environment_id) ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED NOT VALID",
            adds=name,
        ),
        validate(model, name),
    ]


def constrain(model: str, item: str) -> list[migrations.RunSQL]:
    """Return the steps after which each item has an environment, which is that of its conversation."""
    table, name = f"conversations_{model}", f"{item}_has_an_environment"
    check = f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK (environment_id IS NOT NULL) NOT VALID"
    return [
        LockBriefly([table], check, adds=name),
        validate(model, name),
        *refer(model, f"{item}_is_of_its_conversation", "conversation_id", "conversation"),
    ]


def of_its_environment(model: str) -> BuildIndex:
    name = f"{model}_of_its_environment"
    constraint = models.UniqueConstraint(models.F("id"), models.F("environment"), name=name)
    return BuildIndex(
        name,
        f"conversations_{model} (id, environment_id)",
        is_unique=True,
        state_operations=[migrations.AddConstraint(model, constraint)],
    )


def by_age(model: str) -> BuildIndex:
    name = f"{model}_by_age"
    index = models.Index(models.F("conversation"), models.F("environment"), models.F("sent_at"), name=name)
    return BuildIndex(
        name,
        f"conversations_{model} (conversation_id, environment_id, sent_at)",
        state_operations=[migrations.AddIndex(model, index)],
    )


def know_dependency(model: str, item: str) -> list[migrations.RunSQL]:
    """Return the steps after which PostgreSQL knows that a conversation has one environment.

    Otherwise it expects fewer rows in a conversation the fewer its environment has, and would read and sort all messages
    of a long one for a page of them.
    """
    table = f"conversations_{model}"
    statistics = f"{item}_environment_by_conversation (dependencies) ON conversation_id, environment_id FROM {table}"
    return [
        migrations.RunSQL(f"CREATE STATISTICS IF NOT EXISTS {statistics}"),
        migrations.RunSQL(f"ANALYZE {table}"),
    ]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("conversations", "0009_fill_environment_of_items")]

    operations = [
        migrations.RunPython(check_files, migrations.RunPython.noop),
        of_its_environment("contact"),
        of_its_environment("conversation"),
        BuildIndex(
            "conversation_of_contact",
            "conversations_conversation (contact_id, environment_id)",
            state_operations=[
                migrations.AddIndex(
                    "conversation",
                    models.Index(models.F("contact"), models.F("environment"), name="conversation_of_contact"),
                )
            ],
        ),
        *refer("conversation", "conversation_is_of_its_contact", "contact_id", "contact"),
        BuildIndex("message_key", "conversations_message (conversation_id, environment_id, seq)", is_unique=True),
        BuildIndex(
            "variable_key", "conversations_conversationvariable (conversation_id, environment_id, key)", is_unique=True
        ),
        by_age("message"),
        by_age("attachment"),
        validate("attachment", "conversations_attachment_message_seq_check"),
        *constrain("message", "message"),
        *constrain("conversationvariable", "variable"),
        *constrain("attachment", "attachment"),
        *know_dependency("message", "message"),
        *know_dependency("conversationvariable", "variable"),
        *know_dependency("attachment", "attachment"),
    ]
