"""What migrations must not do to the web of the release before: it runs on, between migrate and its restart.

A few cannot be like that. README.md says to stop the release before for them, and what to migrate beside it first.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.migrations import AddField, AlterField, Migration, RunSQL, SeparateDatabaseAndState
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.utils import timezone
from pglast import split

from environments.models import ApiKey
from tests.factories import UserFactory, environment
from tests.test_architecture import ROOMS
from web.operations import BuildIndex, LockBriefly

RELEASE_BEFORE = [
    ("accounts", "0004_impersonation"),
    ("archival", "0012_lasting_receipts"),
    ("audit", "0002_append_only"),
    ("conversations", "0003_table_settings"),
    ("environments", "0003_mfa_for_a_date"),
]
STOPS = {"conversations.0011_items_by_environment"}  # each alone needs the release before to be stopped
FILLED_UNTIL_A_STOP = {
    ("conversations_attachment", "environment_id"),
    ("conversations_conversationvariable", "environment_id"),
    ("conversations_message", "environment_id"),
}
READ_UNTIL_A_STOP = {
    ("conversations_attachment", "message_id"),
    ("conversations_conversationvariable", "id"),
    ("conversations_message", "id"),
}
FROZEN = {  # added before the rule was kept; nobody adds to this list: a new column has a ``db_default`` or may be null
    # Of the release before and earlier: its web knows them.
    "accounts.0002_factors_and_step_up failurebudget.is_told",
    "accounts.0002_factors_and_step_up sessionrecord.factor",
    "accounts.0002_factors_and_step_up sessionrecord.is_provider_proof",
    "environments.0002_domain_proof organisationdomain.answer",
    "environments.0002_domain_proof organisationdomain.failed_checks",
    "environments.0002_domain_proof organisationdomain.proof",
    "archival.0009_run_purpose purgerun.purpose",
    "archival.0011_change_announced policychange.announced",
    "archival.0011_change_announced policychange.counted_at",
    # Mended by the migrations ``defaults_for_the_older_web``.
    "archival.0014_history_outlives_organisations policychange.organisation_label",
    "archival.0014_history_outlives_organisations policychange.new_parent_label",
    "environments.0007_mfa_changes_last mfachange.organisation_label",
    "environments.0011_keys_that_rest apikey.ended_in",
    "environments.0011_keys_that_rest apikey.rests_because",
}


def must_be_given(field: models.Field) -> bool:
    """Return whether a row that leaves this column out is refused."""
    return not (field.null or field.many_to_many or field.primary_key or field.has_db_default())


def operations_on_models(migration: Migration) -> Iterator[Operation]:
    """Yield its operations; for those that have SQL of their own, what they say of the models."""
    for operation in migration.operations:
        yield from getattr(operation, "state_operations", None) or [operation]


def columns_that_must_be_given(migration: Migration, state: ProjectState) -> Iterator[str]:
    """Yield those that a migration adds to a table, or makes so, and carry ``state`` on to what is after it."""
    for operation in operations_on_models(migration):
        if isinstance(operation, (AddField, AlterField)) and migration.app_label in ROOMS:
            before = state.models[migration.app_label, operation.model_name_lower].fields.get(operation.name)
            if must_be_given(operation.field) and (before is None or not must_be_given(before)):
                yield f"{migration} {operation.model_name_lower}.{operation.name}"
        operation.state_forwards(migration.app_label, state)


def every_migration() -> Iterator[Migration]:
    graph = MigrationLoader(None).graph
    ordered = dict.fromkeys(node for leaf in graph.leaf_nodes() for node in graph.forwards_plan(leaf))
    return (graph.nodes[node] for node in ordered)


def columns(state: ProjectState) -> set[tuple[str, str]]:
    """Return each table and column of the models in ``state``."""
    return {
        (model._meta.db_table, field.column)
        for model in state.apps.get_models()
        for field in model._meta.local_concrete_fields
        if field.column  # a key of several columns has none
    }


def test_a_column_added_to_a_table_has_a_default_in_the_database_or_is_nullable():
    state = ProjectState()
    found = {str(each): set(columns_that_must_be_given(each, state)) for each in every_migration()}
    assert set().union(*(columns for name, columns in found.items() if name not in STOPS)) == FROZEN
    assert all(found[name] for name in STOPS)


@pytest.mark.parametrize("name", STOPS)
def test_the_readme_says_what_to_migrate_before_the_release_before_is_stopped(name):
    graph = MigrationLoader(None).graph
    app, _, number = name.partition(".")
    [before] = [parent.key for parent in graph.node_map[app, number].parents if parent.key[0] == app]
    assert f"manage.py migrate {app} {before[1][:4]} " in (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.parametrize(
    ("field", "is_found"),
    [
        (models.CharField(max_length=9, default=""), True),
        (ArrayField(models.BigIntegerField(), default=list), True),
        (models.CharField(max_length=9, db_default=""), False),
        (models.DateTimeField(null=True), False),
    ],
)
def test_a_column_without_either_is_found(field, is_found):
    migration = Migration("0099_more", "audit")
    migration.operations = [AddField("event", "more", field)]
    state = MigrationLoader(None).project_state([("audit", "0002_append_only")])
    assert bool(list(columns_that_must_be_given(migration, state))) is is_found


def test_a_column_that_is_no_longer_nullable_is_found():
    migration = Migration("0099_more", "audit")
    migration.operations = [AlterField("event", "address", models.GenericIPAddressField(default="::"))]
    state = MigrationLoader(None).project_state([("audit", "0002_append_only")])
    assert list(columns_that_must_be_given(migration, state)) == ["audit.0099_more event.address"]


@pytest.mark.django_db
def test_the_database_fills_every_column_that_the_web_of_the_release_before_does_not_know():
    known = columns(MigrationLoader(None).project_state(RELEASE_BEFORE))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
            " AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'"
        )
        not_filled = set(cursor.fetchall())
    tables = {table for table, _ in known}
    assert {(table, column) for table, column in not_filled - known if table in tables} == FILLED_UNTIL_A_STOP


@pytest.mark.django_db
def test_the_database_keeps_every_column_that_the_web_of_the_release_before_reads():
    known = columns(MigrationLoader(None).project_state(RELEASE_BEFORE))
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'")
        assert known - set(cursor.fetchall()) == READ_UNTIL_A_STOP


@pytest.mark.django_db
def test_the_web_of_the_release_before_still_makes_keys_and_schedules_changes():
    older = MigrationLoader(None).project_state(RELEASE_BEFORE).apps
    place, ada, now = environment(), UserFactory(), timezone.now()
    common = {"organisation_id": place.pk, "before": {}, "requested_by_id": ada.pk, "acts_at": now + timedelta(days=1)}

    older.get_model("environments", "MfaChange").objects.create(**common)
    older.get_model("archival", "PolicyChange").objects.create(**common, archival="keep")
    key = older.get_model("environments", "ApiKey").objects.create(name="Import", owner_id=ada.pk, prefix="abc")

    assert ApiKey.objects.values_list("rests_because", "ended_in").get(pk=key.pk) == ("", [])


def sql_of(operations: list[Operation]) -> Iterator[str]:
    """Yield each SQL that the operations send as one, forwards and backwards."""
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from sql_of(operation.database_operations)
        elif isinstance(operation, RunSQL):
            for sql in (operation.sql, operation.reverse_sql or ""):
                yield from [sql] if isinstance(sql, str) else sql


def several_commands(operations: list[Operation]) -> list[str]:
    return [sql for sql in sql_of(operations) if len(split(sql)) > 1]


def test_migrations_send_each_command_by_itself():
    assert {str(each): found for each in every_migration() if (found := several_commands(each.operations))} == {}


@pytest.mark.parametrize(
    "operation",
    [
        RunSQL("SELECT 1; SELECT 2"),
        RunSQL("SELECT 1", "SELECT 1; SELECT 2;"),
        RunSQL(["SELECT 1", "SELECT 1; SELECT 2"]),
        LockBriefly(["audit_event"], "SELECT 1; SELECT 2"),
        BuildIndex("more", "audit_event (at); SELECT 2"),
        SeparateDatabaseAndState([RunSQL("SELECT 1; SELECT 2")]),
    ],
)
def test_two_commands_sent_as_one_are_found(operation):
    assert len(several_commands([operation])) == 1


def test_a_semicolon_inside_a_command_is_not_a_second_one():
    assert several_commands([RunSQL("DO $$ BEGIN PERFORM 1; PERFORM 2; END $$; -- ;", "SELECT ';'")]) == []
