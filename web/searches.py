"""A search for words may have to read everything; it is given up after a while, on pages and over REST alike."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import OperationalError, connection, transaction
from psycopg2.errors import QueryCanceled


class SearchTookTooLong(Exception):
    """The search was given up; a narrower one would be quicker."""


@contextmanager
def limited_search() -> Iterator[None]:
    """Give each statement of the block ``SEARCH_SECONDS``. Raises ``SearchTookTooLong``."""
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
