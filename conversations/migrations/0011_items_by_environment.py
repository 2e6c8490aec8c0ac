"""Items whose keys have the environment, without ids, as the models have them.

The web and the workers of the release before read those ids: stop them first (README.md). Nothing here reads or writes
rows.
"""

import django.db.models.deletion
from django.db import migrations, models


def set_not_null(model: str, item: str) -> list[migrations.operations.base.Operation]:
    """Return what makes the environment required, which the constraint of 0010 proves, and removes what filled it."""
    table = f"conversations_{model}"
    key = models.ForeignKey(
        "environments.organisation",
        django.db.models.deletion.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    return [
        migrations.RunSQL(f"DROP TRIGGER conversations_fill_environment ON {table}"),
        migrations.AlterField(model, "environment", key),
        migrations.RunSQL(f"ALTER TABLE {table} DROP CONSTRAINT {item}_has_an_environment"),
    ]


def drop_old_key(model: str, items: str) -> migrations.AlterField:
    """Return what drops the foreign key to the conversation alone."""
    key = models.ForeignKey(
        "conversations.conversation",
        django.db.models.deletion.CASCADE,
        related_name=items,
        db_index=False,
        db_constraint=False,
    )
    return migrations.AlterField(model, "conversation", key)


def use_as_primary_key(model: str, item: str, *fields: str) -> migrations.RunSQL:
    table = f"conversations_{model}"
    return migrations.RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY USING INDEX {item}_key",
        state_operations=[migrations.AddField(model, "pk", models.CompositePrimaryKey(*fields, serialize=False))],
    )


class Migration(migrations.Migration):
    dependencies = [("conversations", "0010_keys_with_environment")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'"),
        migrations.AlterField(
            "conversation",
            "contact",
            models.ForeignKey(
                "conversations.contact",
                django.db.models.deletion.PROTECT,
                related_name="conversations",
                db_index=False,
                db_constraint=False,
            ),
        ),
        *set_not_null("attachment", "attachment"),
        migrations.RunSQL("DROP TRIGGER conversations_fill_message_seq ON conversations_attachment"),
        drop_old_key("attachment", "attachments"),
        migrations.RemoveIndex("attachment", "attachment_age"),
        migrations.RemoveField("attachment", "message"),
        *set_not_null("conversationvariable", "variable"),
        drop_old_key("conversationvariable", "variables"),
        migrations.RemoveConstraint("conversationvariable", "key_is_unique_in_its_conversation"),
        migrations.RemoveField("conversationvariable", "id"),
        use_as_primary_key("conversationvariable", "variable", "conversation", "key", "environment"),
        *set_not_null("message", "message"),
        drop_old_key("message", "messages"),
        migrations.RemoveConstraint("message", "seq_is_unique_in_its_conversation"),
        migrations.RemoveIndex("message", "message_age"),
        migrations.RemoveField("message", "id"),
        use_as_primary_key("message", "message", "conversation", "seq", "environment"),
        migrations.RunSQL("DROP FUNCTION conversations_fill_environment()"),
        migrations.RunSQL("DROP FUNCTION conversations_fill_message_seq()"),
    ]
