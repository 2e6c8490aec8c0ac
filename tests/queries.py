"""How many queries something costs, to compare a few rows with many in one test."""

from collections.abc import Callable

from django.db import connection
from django.test.utils import CaptureQueriesContext


def queries_of(do: Callable[[], object]) -> int:
    """Do it twice, so that caches are warm, and return how many queries the second time sends."""
    do()
    with CaptureQueriesContext(connection) as captured:
        do()
    return len(captured)
