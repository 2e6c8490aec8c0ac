"""PostgreSQL's advisory locks: for a transaction, or for a block that only one process runs at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


def lock_until_commit(key: int) -> None:
    """Wait until nobody else has the lock, alone or shared; held until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


def share_until_commit(key: int) -> None:
    """Wait until nobody else has the lock alone; held shared until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [key])


@contextmanager
def lock_if_free(key: int, part: int | None = None) -> Iterator[bool]:
    """Yield whether no other process has the lock; none gets it while the block runs, or until this process dies.

    ``part`` makes many locks of one key; both then have 32 bits.
    """
    keys = [key] if part is None else [key, part]
    marks = ", ".join(["%s"] * len(keys))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory_lock({marks})", keys)
        is_ours: bool = cursor.fetchone()[0]
        try:
            yield is_ours
        finally:
            if is_ours:
                cursor.execute(f"SELECT pg_advisory_unlock({marks})", keys)
