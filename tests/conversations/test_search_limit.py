"""A search that would take for ever is given up, on every page and over REST: here one waits for a lock."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import pytest
from django.db import connection

from tests.factories import environment, member
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db(transaction=True)

AT_LAST_SECONDS = 4  # then the lock goes, so that a search without a limit ends too


@contextmanager
def locked(table: str) -> Iterator[None]:
    """Keep everybody else from reading a table for a while."""
    other = psycopg2.connect(**connection.get_connection_params() | {"cursor_factory": None})
    with other.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    released = threading.Timer(AT_LAST_SECONDS, other.close)
    released.start()
    try:
        yield
    finally:
        released.cancel()
        released.join()
        other.close()


@pytest.fixture
def ada(client, transactional_db, settings):
    settings.SEARCH_SECONDS = 0.2
    ada = member(environment(name="Acme", slug="acme"), email="ada@acme.test")
    log_in(client, ada)
    return ada


@pytest.mark.parametrize("query", ["search=needle", "channel=web", "search=needle&page_size=200"])
def test_a_search_over_rest_is_given_up(client, ada, query):
    with locked("conversations_message"):
        answer = client.get(f"/api/v1/environments/acme/conversations/?{query}")
    assert answer.status_code == 503
    assert "took too long" in answer.json()["detail"]
    assert client.get(f"/api/v1/environments/acme/conversations/?{query}").json()["results"] == []


@pytest.mark.parametrize(
    ("path", "table"),
    [
        ("/acme/conversations/?q=needle", "conversations_message"),
        ("/acme/conversations/?channel=web", "conversations_message"),
        ("/acme/contacts/?q=needle", "conversations_contact"),
        ("/acme/audit/?q=needle", "audit_event"),
    ],
)
def test_a_search_on_a_page_is_given_up(client, ada, path, table):
    with locked(table):
        page = client.get(path)
    assert page.status_code == 200
    assert "The search took too long" in page.content.decode()
    assert "The search took too long" not in client.get(path).content.decode()
