"""Keys, indexes and foreign keys with the environment, beside the old ones; reads and writes go on.

Every step can be run again, so a run that was cut off can be repeated.
"""

from django.db import migrations, models

from web.operations import BuildIndex, RunTogether

TABLES = {"message": "message", "variable": "conversationvariable", "attachment": "attachment"}


def add_not_valid(table: str, name: str, constraint: str) -> RunTogether:
    return RunTogether(
        [
            f"ALTER TABLE conversations_{table} DROP CONSTRAINT IF EXISTS {name}",
            f"ALTER TABLE conversations_{table} ADD CONSTRAINT {name} {constraint} NOT VALID",
        ]
    )


def validate(table: str, name: str) -> migrations.RunSQL:
    return RunTogether([f"ALTER TABLE conversations_{table} VALIDATE CONSTRAINT {name}"])


def constrain(item: str) -> list[RunTogether]:
    """Return the steps after which each item has an environment, which is that of its conversation."""
    check, key = f"{item}_has_an_environment", f"{item}_is_of_its_conversation"
    reference = "conversations_conversation (id, environment_id) DEFERRABLE INITIALLY DEFERRED"
    return [
        add_not_valid(TABLES[item], check, "CHECK (environment_id IS NOT NULL)"),
        validate(TABLES[item], check),
        add_not_valid(TABLES[item], key, f"FOREIGN KEY (conversation_id, environment_id) REFERENCES {reference}"),
        validate(TABLES[item], key),
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
    index = models.Index(models.F("conversation"), models.F("sent_at"), models.F("environment"), name=name)
    return BuildIndex(
        name,
        f"conversations_{model} (conversation_id, sent_at, environment_id)",
        state_operations=[migrations.AddIndex(model, index)],
    )


def know_dependency(item: str) -> RunTogether:
    """Return the step after which PostgreSQL knows that a conversation has one environment.

    Otherwise it expects fewer rows in a conversation the fewer its environment has, and would read and sort all messages
    of a long one for a page of them.
    """
    table = f"conversations_{TABLES[item]}"
    name = f"{item}_environment_by_conversation"
    return RunTogether(
        [
            f"CREATE STATISTICS IF NOT EXISTS {name} (dependencies) ON conversation_id, environment_id FROM {table}",
            f"ANALYZE {table}",
        ]
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("conversations", "0009_fill_environment_of_items")]

    operations = [
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
        add_not_valid(
            "conversation",
            "conversation_is_of_its_contact",
            "FOREIGN KEY (contact_id, environment_id) REFERENCES conversations_contact (id, environment_id)"
            " DEFERRABLE INITIALLY DEFERRED",
        ),
        validate("conversation", "conversation_is_of_its_contact"),
        BuildIndex("message_key", "conversations_message (conversation_id, seq, environment_id)", is_unique=True),
        BuildIndex(
            "variable_key", "conversations_conversationvariable (conversation_id, key, environment_id)", is_unique=True
        ),
        by_age("message"),
        by_age("attachment"),
        validate("attachment", "conversations_attachment_message_seq_check"),
        *constrain("message"),
        *constrain("variable"),
        *constrain("attachment"),
        know_dependency("message"),
        know_dependency("variable"),
        know_dependency("attachment"),
    ]
