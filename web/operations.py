"""Migration operations for all rooms."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import IntegrityError, OperationalError, migrations, transaction
from django.db.models import Model
from psycopg2.errors import LockNotAvailable

MOST_LISTED = 20
LOCKS_FOR_SECONDS = 60
LONGEST_WAIT = 500  # milliseconds
PAUSE_SECONDS = 0.2  # for those who waited


class ValidateIfItHolds(ValidateConstraint):
    """Validate a constraint that was added as NOT VALID; if older rows break it, print them and continue.

    New rows are checked either way, and failing would stop everybody because of the rows of one environment.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        try:
            with transaction.atomic(using=schema_editor.connection.alias):
                super().database_forwards(app_label, schema_editor, from_state, to_state)
        except IntegrityError:
            model = from_state.apps.get_model(app_label, self.model_name)
            table = model._meta.db_table
            sys.stderr.write(
                f"{table} has rows that {self.name} forbids: {rows_that_break(self.name, model, schema_editor)}. "
                f"It holds for new rows. Mend them, then: ALTER TABLE {table} VALIDATE CONSTRAINT {self.name}\n"
            )


class AddThenValidate(AddConstraintNotValid):
    """Add a constraint without checking older rows, then validate it like ``ValidateIfItHolds``.

    For migrations with ``atomic = False``: each step is a transaction of its own, so that a table is locked for a
    moment, after five seconds of waiting at most, and reads and writes go on while its rows are looked at. A migration
    that was cut off can be run again.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if condition_of(self.constraint.name, model, schema_editor) is None:
            with transaction.atomic(using=schema_editor.connection.alias):
                schema_editor.execute("SET LOCAL lock_timeout = '5s'")
                super().database_forwards(app_label, schema_editor, from_state, to_state)
        validation = ValidateIfItHolds(self.model_name, self.constraint.name)
        validation.database_forwards(app_label, schema_editor, to_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        with transaction.atomic(using=schema_editor.connection.alias):
            schema_editor.execute("SET LOCAL lock_timeout = '5s'")
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class LockBriefly(migrations.RunSQL):
    """Run commands that lock ``tables`` against writes or reads, in a transaction of their own, one after the other.

    Nobody waits for more than half a second because of it: it waits that long for those who hold the tables, lets them
    go on, and tries again, for a minute at most. Half a second is also too short to be the cause of a deadlock. A
    vacuum, which others do not wait for, is waited for before that.

    For migrations with ``atomic = False``; nothing is run where there is a constraint of the name ``adds``, so that a
    run that was cut off can be repeated. Or the last operation of an atomic one, and the only one with locks: each try
    is a savepoint, and the migration is recorded in the same transaction.
    """

    def __init__(
        self, tables: Sequence[str], *commands: str, adds: str | None = None, state_operations: Any = None
    ) -> None:
        self.tables, self.adds = tables, adds
        super().__init__(commands, state_operations=state_operations)

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_constraint WHERE conname = %s", [self.adds])
            is_done = cursor.fetchone() is not None
        each_wait = LONGEST_WAIT // len(self.tables)  # one table can be locked already while the next is waited for
        last_try_at = time.monotonic() + LOCKS_FOR_SECONDS
        while not is_done:
            try:
                with transaction.atomic(using=schema_editor.connection.alias):
                    schema_editor.execute(f"LOCK TABLE {', '.join(self.tables)} IN SHARE UPDATE EXCLUSIVE MODE")
                    schema_editor.execute(f"SET LOCAL lock_timeout = '{each_wait}ms'")
                    super().database_forwards(app_label, schema_editor, from_state, to_state)
                is_done = True
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable) or time.monotonic() > last_try_at:
                    raise
                time.sleep(PAUSE_SECONDS)


class BuildIndex(migrations.RunSQL):
    """Build an index while reads and writes go on, instead of the invalid one that a run which was cut off has left.

    ``on`` is what follows ON in SQL. For migrations with ``atomic = False``. It waits for every transaction that is
    older, without a limit, as nobody waits for it.
    """

    def __init__(self, name: str, on: str, *, is_unique: bool = False, state_operations: Any = None) -> None:
        self.name = name
        create = "CREATE UNIQUE INDEX" if is_unique else "CREATE INDEX"
        super().__init__(f"{create} CONCURRENTLY IF NOT EXISTS {name} ON {on}", state_operations=state_operations)

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid", [self.name])
            is_invalid = cursor.fetchone() is not None
        if is_invalid:
            schema_editor.execute(f"DROP INDEX CONCURRENTLY {self.name}")
        super().database_forwards(app_label, schema_editor, from_state, to_state)


def condition_of(name: str, model: type[Model], schema_editor: Any) -> str | None:
    """Return the condition of a constraint as the database has it, or None where it has none of this name."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conrelid = to_regclass(%s) AND conname = %s",
            [model._meta.db_table, name],
        )
        found = cursor.fetchone()
    return found[0] if found else None


def rows_that_break(name: str, model: type[Model], schema_editor: Any) -> str:
    """Return the first keys of the rows that break a constraint, and how many more there are, for people to read.

    A key of several columns is written as in SQL, such as ``(7, 0, 3)``.
    """
    table = schema_editor.quote_name(model._meta.db_table)
    key = ", ".join(schema_editor.quote_name(field.column) for field in model._meta.pk_fields)
    broken = f"NOT ({condition_of(name, model, schema_editor)})"
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"SELECT {key} FROM {table} WHERE {broken} ORDER BY {key}")  # noqa: S608  # the database's own words
        keys = [str(row if len(row) > 1 else row[0]) for row in cursor.fetchall()]
    return first_of(keys)


def first_of(keys: Sequence[str]) -> str:
    """Return the first of these keys, and how many more there are, for people to read."""
    more = f" and {len(keys) - MOST_LISTED} more" if len(keys) > MOST_LISTED else ""
    return f"{', '.join(keys[:MOST_LISTED])}{more}"
