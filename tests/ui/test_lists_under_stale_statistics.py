"""What every list reads where PostgreSQL takes tables for empty, as it does soon after the first rows are stored."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from django.utils import timezone

from tests import factories
from tests.logging_in import logged_in_client
from tests.ui.full_lists import fill_lists
from tests.ui.test_queries_of_lists import LISTS

pytestmark = pytest.mark.django_db
ROWS, ROLLED_BACK = 50, 3
MOST_BLOCKS = 100_000  # of 8 KiB, in a statement: a tenth of a second; nested loops over whole tables read millions
# These compare every key, or every person, with each of their reader's 50 memberships: a second or so, not minutes.
MORE_BLOCKS = {
    **dict.fromkeys(("/acme/api-keys/", "/noorderlicht/api-keys/"), 1_500_000),
    **dict.fromkeys(("/acme/", "/noord-nederland/", "/noorderlicht/", "/noorderlicht/environments/"), 500_000),
    **dict.fromkeys(("/noord-nederland/settings/advanced/", "/noorderlicht/settings/advanced/"), 500_000),
}
OTHER_PAGES = [
    *("/acme/", "/noord-nederland/", "/noorderlicht/", "/noorderlicht/api-keys/", "/noorderlicht/audit/"),
    *("/acme/settings/advanced/", "/noord-nederland/settings/advanced/", "/noorderlicht/settings/advanced/"),
    *(
        "/acme/members/?mfa=without",
        "/acme/members/?q=wil&role=member",
        "/noord-nederland/members/",
        "/acme/audit/?q=a",
    ),
    *("/acme/retention/?only=nothing", "/noorderlicht/retention/?only=rows", "/noorderlicht/retention/erased/"),
    *("/acme/retention/ages/", "/acme/conversations/?q=verklaring", "/switch/?q=a", "/api/v1/organisations/"),
]


def test_no_list_reads_tables_over_and_over_where_statistics_say_that_they_are_empty():
    for _time in range(ROLLED_BACK):  # their rows stay in the tables' files, dead
        with transaction.atomic():
            fill_lists(now=timezone.now(), rows=ROWS)
            transaction.set_rollback(True)
    made = fill_lists(now=timezone.now(), rows=ROWS)
    root = factories.UserFactory(is_superuser=True)
    forget_rows()
    client = logged_in_client(made.ada)
    pages = [(client, path.format_map(vars(made))) for path in (*LISTS, *OTHER_PAGES)]
    pages.append((logged_in_client(root), "/sign-in/slowed/"))

    read = {path: most_blocks_read_by(lambda client=client, path=path: client.get(path)) for client, path in pages}

    assert {path: blocks for path, blocks in read.items() if blocks > MORE_BLOCKS.get(path, MOST_BLOCKS)} == {}


def forget_rows() -> None:
    """Make the statistics those of an ANALYZE before the rows were stored, until the test's transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM pg_statistic")
        cursor.execute(
            "UPDATE pg_class SET reltuples = 0, relpages = greatest(1, pg_relation_size(oid) / 8192)"
            " WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace"
        )


def most_blocks_read_by(act: Callable[[], object]) -> int:
    """Return how many blocks the statement reads that reads most; one that takes half a minute fails."""
    with transaction.atomic(), explained() as blocks:
        response = act()
    assert response.status_code == 200
    return max(blocks)


@contextmanager
def explained() -> Iterator[list[int]]:
    blocks: list[int] = []

    def explain(execute, sql, params, many, context):
        if sql.startswith("SELECT"):
            with context["connection"].connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}", params)
                (plan,) = cursor.fetchone()
            top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
            blocks.append(top["Shared Hit Blocks"] + top["Shared Read Blocks"])
        return execute(sql, params, many, context)

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '30s'")
    with connection.execute_wrapper(explain):
        yield blocks
