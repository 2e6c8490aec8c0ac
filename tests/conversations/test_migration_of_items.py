"""The migration of messages, variables and attachments to keys with their environment, from rows of the release before.

In a database of its own, with the tables as that release had them.
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from django.core.management import CommandError
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.db.migrations.executor import MigrationExecutor

from conversations.models import Attachment, Blob, Contact, Conversation, ConversationVariable, Message

OLDER = "older"  # the alias of that database
BEFORE, COLUMNS, ROWS, KEYS, ITEMS = (
    "0007_received_at_validated",
    "0008_environment_of_items",
    "0009_fill_environment_of_items",
    "0010_keys_with_environment",
    "0011_items_by_environment",
)
MODELS = (Contact, Conversation, Message, ConversationVariable, Blob, Attachment)
NAMES = ("attachment", "message", "variable")
TABLES = ("conversations_attachment", "conversations_conversationvariable", "conversations_message")


@pytest.fixture
def older(django_db_setup, django_db_blocker) -> Iterator[None]:
    """Make the database, with two environments, of ids 1 and 2, and a contact in each."""
    name = f"studio_older_{os.getpid()}"
    with django_db_blocker.unblock():
        run(f"CREATE DATABASE {name}", on="default")
        connections.databases[OLDER] = connection.settings_dict | {"NAME": name}
        try:
            migrate(BEFORE)
            add_environments()
            yield
        finally:
            connections[OLDER].close()
            del connections[OLDER], connections.databases[OLDER]
            run(f"DROP DATABASE {name} WITH (FORCE)", on="default")


def migrate(name: str) -> None:
    MigrationExecutor(connections[OLDER]).migrate([("conversations", name)])


def migrate_again(name: str) -> None:
    """Run a migration that is done once more, as after a cut before it was recorded."""
    MigrationExecutor(connections[OLDER]).recorder.record_unapplied("conversations", name)
    migrate(name)


def run(statement: str, *values: Any, on: str = OLDER) -> list[tuple[Any, ...]]:
    """Return the rows of a statement, none if it gives none."""
    with connections[on].cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def add_environments() -> None:
    state = MigrationExecutor(connections[OLDER]).loader.project_state([("conversations", BEFORE)]).apps
    organisations = state.get_model("environments", "Organisation").objects.using(OLDER)
    contacts = state.get_model("conversations", "Contact").objects.using(OLDER)
    for pk in (1, 2):
        label = f"e{pk}"
        organisations.create(pk=pk, name=label, slug=label, path=f"{pk:04}", depth=1, kind="environment")
        contacts.create(pk=pk, environment_id=pk, external_id="c", last_activity_at="2026-01-01 00:00Z")


def write_as_before(cursor: Any, conversation: int, environment: int) -> None:
    """Write a conversation of three messages as the release before does, by the same columns."""
    at = "2026-01-01 00:00Z"
    cursor.execute(
        "INSERT INTO conversations_conversation (id, uuid, environment_id, contact_id, external_id, channel,"
        " created_at, oldest_item_at, last_activity_at) VALUES (%s, gen_random_uuid(), %s, %s, %s, 'web', %s, %s, %s)",
        [conversation, environment, environment, f"v{conversation}", at, at, at],
    )
    cursor.execute(
        "INSERT INTO conversations_message (conversation_id, seq, role, author, text, sent_at, claimed_at)"
        " SELECT %s, seq, 'bot', '', 'text', %s, NULL FROM generate_series(0, 20, 10) seq",
        [conversation, at],
    )
    write_variable_as_before(cursor, conversation)
    for name, seq in (("of 10", 10), ("of none", None)):
        cursor.execute(
            "INSERT INTO conversations_attachment"
            " (uuid, conversation_id, message_id, blob_id, name, mime, size, sent_at) VALUES (gen_random_uuid(), %s,"
            " (SELECT id FROM conversations_message WHERE conversation_id = %s AND seq = %s), NULL, %s, '', 1, %s)",
            [conversation, conversation, seq, name, at],
        )


def write_variable_as_before(cursor: Any, conversation: int) -> None:
    cursor.execute(
        "INSERT INTO conversations_conversationvariable AS v (conversation_id, key, value, written_at)"
        " VALUES (%s, 'k', '1', '2026-01-01 00:00Z') ON CONFLICT (conversation_id, key) DO UPDATE SET value = '2'",
        [conversation],
    )


def write(conversation: int, environment: int) -> None:
    with connections[OLDER].cursor() as cursor, transaction.atomic(OLDER):
        write_as_before(cursor, conversation, environment)


def without_environment(*tables: str) -> list[tuple[int]]:
    """Return the conversations with an item that has none, in order."""
    found = " UNION ".join(
        f"SELECT DISTINCT conversation_id FROM {table} WHERE environment_id IS NULL" for table in tables
    )
    return run(f"{found} ORDER BY 1")


@contextmanager
def cut_off() -> Iterator[None]:
    """Let the migration wait for a moment only; check that it gives up."""
    run("SET statement_timeout = '500ms'")
    with pytest.raises(OperationalError):
        yield
    run("RESET statement_timeout")


@contextmanager
def another() -> Iterator[Any]:
    """Open a transaction of somebody else, and yield its cursor."""
    other = psycopg2.connect(**connections[OLDER].get_connection_params())
    try:
        with other, other.cursor() as cursor:
            yield cursor
    finally:
        other.close()


def assert_is_as_the_models_say(conversations: dict[int, int]) -> None:
    """Check the items of these conversations, by their environments."""
    expected = sorted(conversations.items())
    messages, variables = Message.objects.using(OLDER), ConversationVariable.objects.using(OLDER)
    attachments = Attachment.objects.using(OLDER)
    assert sorted(messages.values_list("pk", flat=True)) == [
        (pk, seq, environment) for pk, environment in expected for seq in (0, 10, 20)
    ]
    assert sorted(variables.values_list("pk", flat=True)) == [(pk, "k", environment) for pk, environment in expected]
    assert sorted(attachments.values_list("conversation", "environment", "name", "message_seq")) == [
        (pk, environment, name, seq) for pk, environment in expected for name, seq in (("of 10", 10), ("of none", None))
    ]


def make_tables_of_the_models() -> None:
    """Make the tables of the models of today in a schema of their own."""
    run("CREATE SCHEMA of_models")
    run("SET search_path = of_models, public")
    with connections[OLDER].schema_editor() as editor:
        for model in MODELS:
            editor.create_model(model)
    run("RESET search_path")


def definitions(schema: str) -> set[tuple[str, str, str]]:
    """Return columns, constraints, indexes and triggers of the tables with conversations, in PostgreSQL's words."""
    found = run(
        "WITH t AS (SELECT oid, relname FROM pg_class"
        "   WHERE relnamespace = %s::regnamespace AND relkind = 'r' AND relname = ANY(%s))"
        " SELECT t.relname, attname, format_type(atttypid, atttypmod) || attnotnull"
        "   FROM pg_attribute JOIN t ON t.oid = attrelid WHERE attnum > 0 AND NOT attisdropped"
        " UNION ALL SELECT t.relname, conname, pg_get_constraintdef(c.oid)"
        "   FROM pg_constraint c JOIN t ON t.oid = conrelid WHERE convalidated"
        " UNION ALL SELECT t.relname, i.relname, pg_get_indexdef(indexrelid)"
        "   FROM pg_index JOIN t ON t.oid = indrelid JOIN pg_class i ON i.oid = indexrelid WHERE indisvalid"
        " UNION ALL SELECT t.relname, tgname, 'trigger' FROM pg_trigger JOIN t ON t.oid = tgrelid"
        "   WHERE NOT tgisinternal",
        schema,
        [model._meta.db_table for model in MODELS],
    )
    return {(table, name, definition.replace(f"{schema}.", "")) for table, name, definition in found}


def test_rows_of_the_release_before_get_their_environment_while_it_writes_on(older):
    conversations = {1: 1, 2: 2, 3: 1}
    for pk, environment in conversations.items():
        write(pk, environment)

    migrate(COLUMNS)
    write(4, 2)
    assert without_environment(*TABLES) == [(1,), (2,), (3,)]
    with another() as purge:
        purge.execute("SELECT FROM conversations_conversation WHERE id = 2 FOR UPDATE")
        with cut_off():
            migrate(ROWS)
        assert without_environment("conversations_message") == [(2,)]
    migrate(ROWS)
    assert without_environment(*TABLES) == []

    with another() as web:
        write_as_before(web, 5, 1)
        with cut_off():
            migrate(KEYS)
    invalid = run("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
    assert invalid == [("conversation_of_its_environment",)]
    migrate(KEYS)
    write(6, 1)
    with connections[OLDER].cursor() as cursor:
        write_variable_as_before(cursor, 1)
    for done in (COLUMNS, ROWS, KEYS):
        migrate_again(done)

    migrate(ITEMS)
    assert_is_as_the_models_say(conversations | {4: 2, 5: 1, 6: 1})
    make_tables_of_the_models()
    migrated, of_models = definitions("public"), definitions("of_models")
    keys = {"conversations_message_pkey", "conversations_conversationvariable_pkey"}  # of other orders of columns
    keys |= {"conversation_is_of_its_contact", *(f"{item}_is_of_its_conversation" for item in NAMES)}
    assert {name for _, name, _ in migrated ^ of_models} == keys
    assert run("SELECT proname FROM pg_proc WHERE proname LIKE 'conversations%'") == []


def test_an_item_has_the_environment_of_its_conversation(older):
    write(1, 1)
    migrate(ITEMS)
    for model in (Message, ConversationVariable, Attachment):
        with pytest.raises(IntegrityError, match="is_of_its_conversation"), transaction.atomic(OLDER):
            model.objects.using(OLDER).update(environment=2)


def test_a_file_of_another_environment_stops_the_migration_before_it_changes_anything(older):
    for conversation in (1, 2):
        write(conversation, 1)
    for environment in (1, 2):
        run(
            "INSERT INTO conversations_blob (id, environment_id, sha256, key, size, created_at)"
            " VALUES (%s, %s, '', %s, 1, now())",
            environment,
            environment,
            f"{environment}/file",
        )
    run("UPDATE conversations_attachment SET blob_id = conversation_id WHERE name = 'of 10'")
    [(broken,)] = run("SELECT id FROM conversations_attachment WHERE conversation_id = 2 AND name = 'of 10'")
    migrate(ROWS)
    before = definitions("public")

    with pytest.raises(CommandError, match=f"has rows whose blob is of another environment: {broken}[.] Set"):
        migrate(KEYS)

    assert definitions("public") == before
    write(3, 1)
    run("UPDATE conversations_attachment SET blob_id = NULL WHERE id = %s", broken)
    migrate(ITEMS)
    assert_is_as_the_models_say({1: 1, 2: 1, 3: 1})


def migrate_aside(name: str) -> None:
    try:
        migrate(name)
    finally:
        connections[OLDER].close()


def wait_until_one_waits() -> None:
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ends = time.monotonic() + 60
    while not run(waiting):
        assert time.monotonic() < ends, "nobody waits for a lock"


@pytest.mark.parametrize(("done", "name"), [(BEFORE, COLUMNS), (KEYS, ITEMS)])
def test_who_writes_goes_on_while_the_migration_waits_for_a_reader(older, done, name):
    write(1, 1)
    migrate(done)
    with ThreadPoolExecutor(1) as pool:
        with another() as reader:
            reader.execute("SELECT FROM conversations_message")
            migrating = pool.submit(migrate_aside, name)
            wait_until_one_waits()
            run("SET statement_timeout = '3s'")
            write(2, 1)
            run("RESET statement_timeout")
            assert not migrating.done()
        migrating.result(60)
    migrate(ITEMS)
    assert_is_as_the_models_say({1: 1, 2: 1})
