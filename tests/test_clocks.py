"""Every clock of ours in the database: what it never takes, and what becomes of older rows that have it."""

import json

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from accounts.models import FailureBudget
from conversations.models import ConversationVariable, Message
from tests.factories import conversation
from tests.test_architecture import ROOMS
from web.operations import AddThenValidate

IMPOSSIBLE = ("-infinity", "0044-03-15 BC", "9999-12-31", "infinity")
CLOCKS = [
    (model, field)
    for model in apps.get_models(include_auto_created=True)
    if model._meta.app_label in ROOMS
    for field in model._meta.local_concrete_fields
    if isinstance(field, models.DateField)  # instants are days, too
]
EXCEPTIONS = {  # a clock that takes one of them, and why
    "conversations.Message.claimed_at": ("9999-12-31", "what a sender claimed is shown, and nothing is added to it"),
}


def sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def broken_by(table, column, instant):
    """Return the conditions that the database holds all rows to and that such a row breaks; the rest of it is null."""
    found = sql(
        "SELECT conname, pg_get_expr(conbin, conrelid) FROM pg_constraint"
        " WHERE conrelid = to_regclass(%s) AND contype = 'c' AND convalidated",
        table,
    )
    row = json.dumps({column: instant})
    return {
        name
        for name, condition in found
        if sql(f"SELECT ({condition}) IS FALSE FROM jsonb_populate_record(NULL::{table}, '{row}')") == [(True,)]
    }


def test_clocks_are_found_in_every_room_that_has_tables():
    assert {model._meta.app_label for model, _ in CLOCKS} == set(ROOMS) - {"devserver", "studio"}


@pytest.mark.django_db
@pytest.mark.parametrize(("model", "field"), CLOCKS, ids=[str(field) for _, field in CLOCKS])
def test_no_clock_of_ours_takes_an_instant_that_no_calendar_has(model, field):
    table, column = model._meta.db_table, field.column
    otherwise = broken_by(table, column, "2026-11-30")  # for what else is null
    taken = [instant for instant in IMPOSSIBLE if not broken_by(table, column, instant) - otherwise]
    assert taken == [EXCEPTIONS[str(field)][0]] if str(field) in EXCEPTIONS else taken == []


@pytest.mark.django_db(transaction=True)
def test_the_migration_lists_older_rows_that_no_calendar_has_and_goes_on(capsys):
    MigrationExecutor(connection).migrate([("accounts", "0008_what_a_session_rests_on")])
    for number in range(23):
        sql("INSERT INTO accounts_failurebudget (key, failures, since, is_told) VALUES (%s, 1, now(), false)", number)
    ids = [str(pk) for (pk,) in sql("SELECT id FROM accounts_failurebudget ORDER BY id")]
    sql("UPDATE accounts_failurebudget SET since = '-infinity' WHERE id <> %s", int(ids[3]))

    new = MigrationExecutor(connection)
    new.migrate(new.loader.graph.leaf_nodes())

    named = ", ".join(ids[:3] + ids[4:21])
    assert f"accounts_failurebudget has rows that budget_is_in_the_calendar forbids: {named} and 2 more." in (
        capsys.readouterr().err
    )
    validated = dict(sql("SELECT conname, convalidated FROM pg_constraint WHERE conname LIKE '%_is_in_the_calendar'"))
    assert [name for name, is_validated in validated.items() if not is_validated] == ["budget_is_in_the_calendar"]
    assert FailureBudget.objects.count() == 23
    with pytest.raises(DatabaseError), transaction.atomic():
        sql("UPDATE accounts_failurebudget SET since = 'infinity' WHERE id = %s", int(ids[3]))

    sql("DELETE FROM accounts_failurebudget WHERE since = '-infinity'")
    sql("ALTER TABLE accounts_failurebudget VALIDATE CONSTRAINT budget_is_in_the_calendar")


@pytest.mark.parametrize(("model", "key"), [(Message, "seq"), (ConversationVariable, "key")])
@pytest.mark.django_db
def test_rows_with_a_key_of_several_columns_are_listed_by_it(acme, capsys, model, key):
    talk = conversation(of=acme, days_ago=[3, 2, 1], variables=3)
    constraint, table = model._meta.constraints[0], model._meta.db_table
    keys = [row for (row,) in sql(f"SELECT {key} FROM {table} ORDER BY {key}")[:2]]
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    sql(f"ALTER TABLE {table} DROP CONSTRAINT {constraint.name}")
    sql(f"UPDATE {table} SET {model.clock} = 'infinity' WHERE {key} = ANY(%s)", keys)
    state = MigrationLoader(connection).project_state()

    with connection.schema_editor() as editor:
        AddThenValidate(model._meta.model_name, constraint).database_forwards("conversations", editor, state, state)

    named = ", ".join(str((talk.pk, each, acme.pk)) for each in keys)
    assert f"{table} has rows that {constraint.name} forbids: {named}. It holds" in capsys.readouterr().err


@pytest.mark.django_db(transaction=True)
def test_the_migration_can_be_run_again_where_it_was_cut_off():
    sql("DELETE FROM django_migrations WHERE app = 'accounts' AND name = '0009_calendar'")
    for table, name in (("sessionrecord", "session"), ("mailboxcode", "mailbox_code")):
        sql(f"ALTER TABLE accounts_{table} DROP CONSTRAINT {name}_is_in_the_calendar")

    MigrationExecutor(connection).migrate([("accounts", "0009_calendar")])

    names = "'(user|app|recovery_code|session|budget|email_change|mailbox_code)_is_in_the_calendar'"
    assert sql(f"SELECT convalidated, count(*) FROM pg_constraint WHERE conname ~ {names} GROUP BY 1") == [(True, 7)]
