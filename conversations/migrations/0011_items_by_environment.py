"""Items whose keys have the environment, without ids, as the models have them.

The web and the workers of the release before read those ids: stop them first (README.md). Nothing here reads or writes
rows. The models come first, so that the locks are held for the commands alone.
"""

import django.db.models.deletion
from django.db import migrations, models

from web.operations import LockBriefly


def primary_key(table: str, index: str) -> str:
    return f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY USING INDEX {index}"


ENVIRONMENT = models.ForeignKey(
    "environments.organisation",
    django.db.models.deletion.DO_NOTHING,
    related_name="+",
    db_index=False,
    db_constraint=False,
)
MODELS = [
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
    migrations.RemoveIndex("attachment", "attachment_age"),
    migrations.RemoveField("attachment", "message"),
    migrations.RemoveConstraint("conversationvariable", "key_is_unique_in_its_conversation"),
    migrations.RemoveConstraint("message", "seq_is_unique_in_its_conversation"),
    migrations.RemoveIndex("message", "message_age"),
]
for model, items, *fields in (
    ("attachment", "attachments"),
    ("conversationvariable", "variables", "conversation", "key", "environment"),
    ("message", "messages", "conversation", "seq", "environment"),
):
    conversation = models.ForeignKey(
        "conversations.conversation",
        django.db.models.deletion.CASCADE,
        related_name=items,
        db_index=False,
        db_constraint=False,
    )
    MODELS += [
        migrations.AlterField(model, "environment", ENVIRONMENT),
        migrations.AlterField(model, "conversation", conversation),
    ]
    if fields:
        key = models.CompositePrimaryKey(*fields, serialize=False)
        MODELS += [migrations.RemoveField(model, "id"), migrations.AddField(model, "pk", key)]

TABLES = [
    "conversations_contact",
    "conversations_conversation",
    "conversations_attachment",
    "conversations_conversationvariable",
    "conversations_message",
]
COMMANDS = [
    f"LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE",
    "DROP TRIGGER conversations_fill_environment ON conversations_attachment",
    "DROP TRIGGER conversations_fill_message_seq ON conversations_attachment",
    "DROP TRIGGER conversations_fill_environment ON conversations_conversationvariable",
    "DROP TRIGGER conversations_fill_environment ON conversations_message",
    "DROP FUNCTION conversations_fill_environment()",
    "DROP FUNCTION conversations_fill_message_seq()",
    # The constraints prove that there is no null.
    "ALTER TABLE conversations_attachment ALTER environment_id SET NOT NULL",
    "ALTER TABLE conversations_conversationvariable ALTER environment_id SET NOT NULL",
    "ALTER TABLE conversations_message ALTER environment_id SET NOT NULL",
    "ALTER TABLE conversations_attachment DROP CONSTRAINT attachment_has_an_environment",
    "ALTER TABLE conversations_conversationvariable DROP CONSTRAINT variable_has_an_environment",
    "ALTER TABLE conversations_message DROP CONSTRAINT message_has_an_environment",
    # The foreign keys to the contact or the conversation alone.
    "ALTER TABLE conversations_conversation DROP CONSTRAINT conversations_conver_contact_id_000135ab_fk_conversat",
    "ALTER TABLE conversations_attachment DROP CONSTRAINT conversations_attach_conversation_id_9d924662_fk_conversat",
    "ALTER TABLE conversations_conversationvariable DROP CONSTRAINT conversations_conver_conversation_id_9272f16a_fk_conversat",
    "ALTER TABLE conversations_message DROP CONSTRAINT conversations_messag_conversation_id_f1a2d5e9_fk_conversat",
    "DROP INDEX conversations_conversation_contact_id_000135ab",
    "DROP INDEX attachment_age",
    "DROP INDEX message_age",
    "DROP INDEX key_is_unique_in_its_conversation",
    "DROP INDEX seq_is_unique_in_its_conversation",
    "ALTER TABLE conversations_attachment DROP COLUMN message_id",
    # With the primary keys.
    "ALTER TABLE conversations_conversationvariable DROP COLUMN id",
    "ALTER TABLE conversations_message DROP COLUMN id",
    primary_key("conversations_conversationvariable", "variable_key"),
    primary_key("conversations_message", "message_key"),
]


class Migration(migrations.Migration):
    dependencies = [("conversations", "0010_keys_with_environment")]

    operations = [
        migrations.SeparateDatabaseAndState(state_operations=MODELS),
        LockBriefly(TABLES, *COMMANDS),
    ]
