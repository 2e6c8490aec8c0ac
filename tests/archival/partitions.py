"""Partition the tables of conversations by environment, in the test's transaction, as ``docs/scale.md`` describes.

What must hold over all partitions has the environment in it: a unique index that lacks the column gets it, and a
foreign key to a partitioned table refers to the row's id and environment. A test that calls it needs no database of its
own: PostgreSQL rolls back the DDL with the test's transaction, so the tests' servers serve and nothing is left behind.
"""

from django.db import connection

TABLES = (
    "conversations_contact",
    "conversations_conversation",
    "conversations_message",
    "conversations_conversationvariable",
    "conversations_blob",
    "conversations_attachment",
)
PARTITIONS = 8
INDEXES = """
SELECT i.indisunique, array_agg(a.attname::text ORDER BY k.position)
FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(column_number, position)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.column_number
WHERE i.indrelid = %s::regclass GROUP BY i.indexrelid, i.indisunique
"""
FOREIGN_KEYS = """
SELECT a.attname, c.confrelid::regclass::text FROM pg_constraint c
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
WHERE c.contype = 'f' AND c.conrelid = %s::regclass
"""


def partition_by_environment():
    """Replace the tables, which must be empty, with tables of hash partitions; the end of the transaction undoes it."""
    with connection.cursor() as cursor:
        shapes = {table: read_shape(cursor, table) for table in TABLES}
        for table in reversed(TABLES):
            cursor.execute(f"ALTER TABLE {table} RENAME TO {table}_as_one")
        for table, (indexes, keys) in shapes.items():
            create_partitioned(cursor, table, indexes, keys)


def read_shape(cursor, table):
    """Return the indexes, as pairs of whether each is unique and its columns, and the foreign keys of a table."""
    cursor.execute(INDEXES, [table])
    indexes = cursor.fetchall()
    cursor.execute(FOREIGN_KEYS, [table])
    return indexes, dict(cursor.fetchall())


def create_partitioned(cursor, table, indexes, keys):
    cursor.execute(
        f"CREATE TABLE {table} (LIKE {table}_as_one INCLUDING CONSTRAINTS INCLUDING DEFAULTS)"
        " PARTITION BY HASH (environment_id)"
    )
    if (True, ["id"]) in indexes:
        cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [f"{table}_as_one"])
        cursor.execute(f"ALTER TABLE {table} ALTER COLUMN id SET DEFAULT nextval('{cursor.fetchone()[0]}')")
    for number in range(PARTITIONS):
        cursor.execute(
            f"CREATE TABLE {table}_{number} PARTITION OF {table}"
            f" FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
        )
    for is_unique, columns in indexes:
        if is_unique and "environment_id" not in columns:
            columns = [*columns, "environment_id"]
        cursor.execute(f"CREATE {'UNIQUE' if is_unique else ''} INDEX ON {table} ({', '.join(columns)})")
    for column, other in keys.items():
        pair = (f"{column}, environment_id", "id, environment_id") if other in TABLES else (column, "id")
        cursor.execute(
            f"ALTER TABLE {table} ADD FOREIGN KEY ({pair[0]}) REFERENCES {other} ({pair[1]})"
            " DEFERRABLE INITIALLY DEFERRED"
        )
