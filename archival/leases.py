"""Leases: rows that let one process at a time do a kind of work."""

import logging
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from archival.models import Lease

logger = logging.getLogger(__name__)

_TAKE = """
INSERT INTO archival_lease AS l (name, holder, taken_at, expires_at)
VALUES (%(name)s, %(holder)s, statement_timestamp(), statement_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (name) DO UPDATE
SET holder = EXCLUDED.holder, taken_at = EXCLUDED.taken_at, expires_at = EXCLUDED.expires_at
WHERE l.expires_at <= EXCLUDED.taken_at
"""


def take_lease(name: str, *, seconds: float) -> str | None:
    """Take the lease for ``seconds``; return the name of its holder, or ``None`` if another process has the lease."""
    holder = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex[:12]}"
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"name": name, "holder": holder, "seconds": seconds})
        if cursor.rowcount:
            return holder
    current = Lease.objects.filter(name=name).first()
    if current is not None:
        logger.info("%s does not start: %s has its lease until %s.", name, current.holder, current.expires_at)
    return None


def release_lease(name: str, holder: str) -> None:
    """Release the lease of this holder; does nothing if it expired and another process has taken it."""
    Lease.objects.filter(name=name, holder=holder).delete()


@contextmanager
def leased(name: str, *, seconds: float) -> Iterator[bool]:
    """Hold the lease while the block runs, for at most ``seconds``; yield whether this process got it."""
    holder = take_lease(name, seconds=seconds)
    try:
        yield holder is not None
    finally:
        if holder is not None:
            release_lease(name, holder)
