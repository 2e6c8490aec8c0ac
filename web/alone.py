"""Loops over many things in which the failure of one must not stop the others."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from celery.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, OperationalError

logger = logging.getLogger(__name__)

# Not the failure of one thing: the database is down, or time is up.
ENDS_ALL = (InterfaceError, OperationalError, SoftTimeLimitExceeded)


@contextmanager
def set_aside(what: object) -> Iterator[None]:
    """Log an error of the block as the failure of ``what``, and continue after the block.

    The block has a transaction of its own, which is rolled back. The log has the kind of error, never its text, which
    can quote a row. Errors that concern the whole database are raised.
    """
    try:
        yield
    except ENDS_ALL:
        raise
    except Exception as error:  # whatever it is, it must not end the work on the others
        logger.error("%s is left out: %s.", what, name_of(error))


def name_of(error: Exception) -> str:
    """Return the kind of an error, with PostgreSQL's code where it has one."""
    code = getattr(error.__cause__, "pgcode", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__
