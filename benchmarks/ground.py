"""Restore the database between ways, file by file, so that each way starts with the same rows on the same pages.

To insert the missing rows anew would pack them together, and whoever came next would have less to do.
"""

import contextlib
import shutil
from collections.abc import Iterator

import psycopg2
from django.core.files.storage import storages
from django.db import connection

from archival.restore.readiness import readiness

PURGED = (
    "conversations_attachment",
    "conversations_message",
    "conversations_conversationvariable",
    "conversations_conversation",
    "conversations_contact",
)


def keep_copy(name: str) -> None:
    """Vacuum and analyse the current database, and copy it under this name."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (FREEZE, ANALYZE)")
    connection.close()
    _copy(current_database(), copy_name(name))


def restore_copy(name: str) -> None:
    """Restore the copy, warm in memory and completely on disk; drop the journal, which would be ahead of it."""
    connection.close()
    _copy(copy_name(name), current_database())
    shutil.rmtree(storages["journal"].location, ignore_errors=True)
    readiness.forget()
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        cursor.execute(
            "SELECT sum(pg_prewarm(c.oid::regclass)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'i')"
        )
        cursor.execute("CHECKPOINT")


def drop_copy(name: str) -> None:
    """Drop the copy to free the disk."""
    with _maintenance() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{copy_name(name)}"')


def current_database() -> str:
    return str(connection.settings_dict["NAME"])


def copy_name(name: str) -> str:
    return f"{current_database()}_{name}"


def _copy(source: str, target: str) -> None:
    with _maintenance() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{target}" WITH (FORCE)')
        cursor.execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}" STRATEGY file_copy')


@contextlib.contextmanager
def _maintenance() -> Iterator["psycopg2.extensions.cursor"]:
    parameters = connection.get_connection_params() | {"dbname": "postgres"}
    parameters.pop("cursor_factory", None)
    with contextlib.closing(psycopg2.connect(**parameters)) as other:
        other.autocommit = True
        with other.cursor() as cursor:
            yield cursor


def count_rows() -> int:
    counts = " + ".join(f"(SELECT count(*) FROM {table})" for table in PURGED)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {counts}")
        return int(cursor.fetchone()[0])


def wal_position() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
        return int(cursor.fetchone()[0])


def sizes() -> str:
    """Return the sizes of the tables with their indexes, as text."""
    with connection.cursor() as cursor:
        found = []
        for table in PURGED[1:]:
            cursor.execute("SELECT pg_size_pretty(pg_total_relation_size(%s))", [table])
            found.append(f"{table.partition('_')[2]} {cursor.fetchone()[0]}")
    return ", ".join(found)
