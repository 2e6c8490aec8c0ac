"""Count queries, to compare a few rows with many in one test."""

from collections.abc import Callable

from django.db import connection
from django.test.utils import CaptureQueriesContext


def count_queries(act: Callable[[], object]) -> int:
    """Call ``act`` twice, so that caches are warm, and return how many queries the second call sends."""
    act()
    with CaptureQueriesContext(connection) as captured:
        act()
    return len(captured)
