"""Fails every test in which the product sends a statement that touches a tenant's table without its environment.

Every connection that Django opens in this process is watched, in each thread. Not seen: COPY, other processes, and
cursors of the driver itself. Statements that tests and benchmarks send themselves can be about everything.
"""

import sys
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.db.backends.signals import connection_created
from pglast.parser import ParseError

from tests.tenant_sql import TABLES, Use, without_environment

BLOBS, OUTBOX, COUNTS = {"conversations_blob"}, {"archival_blobtodelete"}, {"conversations_dailycountdelta"}
ROOT = f"{Path(__file__).resolve().parent.parent}/"
OLDEST = "archival/evidence/oldest.py"
ONE_QUEUE = "the outbox is one queue for all, worked through by file"
# Where the product goes over all environments on purpose, as callers, with the tables and the reason. What such a
# statement joins has to be of one environment all the same.
ON_PURPOSE = {
    f"{OLDEST}:fetch_rows < {OLDEST}:read_oldest": (TABLES, "the proof reads every row once, whoever's it is"),
    f"{OLDEST}:fetch_rows < {OLDEST}:read_expired": ({"archival_hold"}, "holds are few, and read once for all rows"),
    f"{OLDEST}:fetch_rows < archival/evidence/proof.py:read_waiting_files": (BLOBS, "the proof reads every file's row"),
    "archival/evidence/metrics.py:outbox_gauges": (OUTBOX, "metrics name no environment"),
    "archival/evidence/proof.py:unused_outbox_rows": (OUTBOX, "the proof reads every row of the outbox"),
    "archival/evidence/proof.py:has_a_latest_file": (BLOBS, "storage is one for all: it has any of the latest files"),
    "archival/files/outbox.py:is_wrong_storage": (BLOBS, "storage is one for all: it has any of the latest files"),
    "archival/files/outbox.py:delete_blobs": (OUTBOX, ONE_QUEUE),
    "archival/files/outbox.py:due_rows": (OUTBOX, ONE_QUEUE),
    "archival/files/outbox.py:delete_file": (OUTBOX, ONE_QUEUE),
    "archival/files/outbox.py:postpone_file": (OUTBOX, ONE_QUEUE),
    "archival/files/sweep.py:sweep_storage": (BLOBS | OUTBOX, "storage is one for all: every file is compared"),
    "archival/files/sweep.py:has_row": (BLOBS, "a file without a row is of no environment"),
    "archival/restore/reapply.py:repeat_release": ({"archival_hold"}, "its line in the journal has the hold alone"),
    "conversations/ingest/counts.py:fold_counts": (COUNTS, "deltas of all are folded, oldest first"),
    "web/operations.py:rows_that_break": (TABLES, "a migration checks every row"),
}
CALLED_BY = " < "
MIGRATIONS = "/migrations/"  # they go over everything
violations: dict[str, None] = {}  # in order, each once


@pytest.fixture(autouse=True)
def statements_with_environment() -> Generator[None]:
    """Fail a test after it, also for statements of other threads, and for those whose error the product caught."""
    yield
    refuse_violations()


def refuse_violations() -> None:
    sent = "\n\n".join(violations)
    violations.clear()
    assert not sent, f"Without the environment (see tests/tenants.py):\n\n{sent}"


@contextmanager
def expected_violations() -> Iterator[list[str]]:
    """Collect in a list what would fail the test."""
    before, collected = dict(violations), list[str]()
    violations.clear()
    try:
        yield collected
    finally:
        collected.extend(violations)
        violations.clear()
        violations.update(before)


def watch(connection: Any, **kwargs: Any) -> None:
    if inspect not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, inspect)  # a wrapper of a test that is active now has to stay the last


connection_created.connect(watch)


def inspect(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    try:
        uses = without_environment(sql)
    except ParseError as error:
        uses = (Use("SQL", f"that is not read: {error}", is_apart=True),)
    if uses and (callers := product_callers(sys._getframe(1))):
        on_purpose = tables_on_purpose(callers)
        if left := ", ".join(str(use) for use in uses if use.is_apart or use.table not in on_purpose):
            violations[f"{left}, in {callers}:\n{sql}"] = None
    return execute(sql, params, many, context)


def tables_on_purpose(callers: str) -> Collection[str]:
    if MIGRATIONS in callers.partition(CALLED_BY)[0]:
        return TABLES
    of_these = (
        tables for place, (tables, _) in ON_PURPOSE.items() if f"{callers}{CALLED_BY}".startswith(place + CALLED_BY)
    )
    return next(of_these, ())


def product_callers(frame: FrameType | None) -> str:
    """Return the functions of the product that led to ``frame``, the nearest first; "" if a test or benchmark did."""
    places: list[str] = []
    while frame:
        path = frame.f_code.co_filename
        if path.startswith(ROOT) and not path.startswith((f"{ROOT}.", __file__)):
            place = f"{path.removeprefix(ROOT)}:{frame.f_code.co_qualname}"
            if place.startswith(("tests/", "benchmarks/")):
                return CALLED_BY.join(places)
            places.append(place)
        frame = frame.f_back
    return CALLED_BY.join(places) or "no function of the repository"
