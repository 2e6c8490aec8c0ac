"""Several real connections at once, and a way to know that one waits for another."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

PAUSE = 7_417  # an advisory lock: whoever holds it stops the purge after its snapshot and before its row locks


def run_aside(pool: ThreadPoolExecutor, work: Callable[[], Any]) -> Future[Any]:
    """Run ``work`` in a thread with a connection of its own."""

    def closing() -> Any:
        try:
            return work()
        finally:
            connection.close()

    return pool.submit(closing)


def wait_until_waiting(count: int = 1) -> None:
    """Return once ``count`` other connections wait for a lock."""
    for _ in range(400):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0] >= count:
                return
        time.sleep(0.02)
    raise AssertionError(f"not {count} connections wait for a lock")


def make_pausable() -> None:
    """Put a ``random()`` where a connection may look first: it waits for the advisory lock.

    The statement that locks shares out by ``random()``, so a connection with this search path stops between its
    snapshot and its row locks.
    """
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS pausing")
        cursor.execute(
            "CREATE OR REPLACE FUNCTION pausing.random() RETURNS float8 LANGUAGE plpgsql VOLATILE AS"
            f" 'BEGIN PERFORM pg_advisory_lock_shared({PAUSE}); PERFORM pg_advisory_unlock_shared({PAUSE});"
            " RETURN 0.5; END'"
        )


def pausing(work: Callable[[], Any]) -> Callable[[], Any]:
    """Return ``work`` with the search path that makes its lock statement stop."""

    def wrapped() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = pausing, public, pg_catalog")
        return work()

    return wrapped


@contextmanager
def paused() -> Iterator[None]:
    """Hold the advisory lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [PAUSE])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [PAUSE])


@contextmanager
def locked(row: Any) -> Iterator[None]:
    """Hold a row lock until the block ends: a batch that must write the row stops before its commit."""
    with transaction.atomic():
        type(row).objects.select_for_update().get(pk=row.pk)
        yield
