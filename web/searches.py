"""A time limit for searches, which can read everything; for pages and REST."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import OperationalError, connection, transaction
from psycopg2.errors import QueryCanceled


class SearchTookTooLong(Exception):
    """The search was stopped; a narrower one would be faster."""


@contextmanager
def limited_search() -> Iterator[None]:
    """Limit each statement of the block to ``SEARCH_SECONDS``. Raises ``SearchTookTooLong``."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true)", [f"{settings.SEARCH_SECONDS * 1000:.0f}ms"]
                )
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise SearchTookTooLong from error
        raise
