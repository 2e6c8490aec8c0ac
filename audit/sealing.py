"""Seal events in batches: each seal is signed, and has the hash of the one before, so that the seals form a chain.

**What is hashed.** The line of an event is its columns in the order of ``COLUMNS``, as ``COPY … TO STDOUT`` writes
them (text format, UTF-8): separated by tabs, with ``\\N`` for null and backslashes before special characters; ``at``
in seconds since 1970, JSON as PostgreSQL writes it. Nothing changes or deletes events, and they have no foreign keys,
so every column is in the line: labels stay as they were also when an account is deleted. The leaf of an event is its
id in 8 bytes and the SHA-256 of its line. The hash of a seal is the SHA-256 of its head (``head_of``) and its leaves.
A column that is added to events later belongs to a new ``VERSION``.

**Why nothing slips in between.** Ids are given in order, but their transactions commit in any order: event 7 can be
there while 6 is not. A transaction locks the table of events (ROW EXCLUSIVE, until it ends) before it gets an id. So
``set_limit`` first reads the largest id there is, in a snapshot; whoever got a smaller id before has the lock by then
or has ended; and the transactions that have the lock are read after it. Once they have ended, every event up to that
id is there that will ever be, since PostgreSQL releases a lock only after the commit can be seen. Until then nothing
is sealed; other writers are not waited for, and nobody waits for the sealing. An event that appears below the last
seal all the same was put there by hand, and ``verify_audit`` names it.
"""

import hashlib
import logging
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Func, Max, TextField
from django.db.models.functions import Cast

from audit import signing
from audit.models import Event, Seal, SealingLimit
from web.locks import lock_until_commit

logger = logging.getLogger(__name__)

SEALING_LOCK = 0x53_45_41_4C  # one process at a time
VERSION = "studio audit seal 1"
EVENTS_IN_A_SEAL = 500
SEALS_AT_ONCE = 200
LIMIT = 1  # the key of the one row
LEAF = struct.Struct(">Q32s")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
COLUMNS = (
    *("id", "seconds", "action", "actor_kind", "actor_id", "actor_label", "impersonator_id", "impersonator_label"),
    *("organisation_id", "organisation_label", "subject_kind", "subject_id", "subject_label"),
    *("before_text", "after_text", "address", "request_id"),
)
ESCAPES = str.maketrans(
    {"\\": r"\\", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"},
)


def seal_events(*, now: datetime) -> int:
    """Seal the events that no transaction can add to any more, in one transaction; return how many.

    At most ``SEALS_AT_ONCE`` seals; the next call continues.
    """
    with transaction.atomic():
        lock_until_commit(SEALING_LOCK)
        sealed = 0
        limit = SealingLimit.objects.filter(pk=LIMIT).first()
        if limit is None or not set(limit.writers) & set(present_writers()):
            sealed = seal_up_to(limit.last_event, now=now) if limit else 0
            limit = set_limit()
            if not limit.writers:
                sealed += seal_up_to(limit.last_event, now=now)
    return sealed


def oldest_unsealed_at() -> datetime | None:
    """Return the instant of the first event that no seal has; two short queries."""
    sealed = Seal.objects.aggregate(last=Max("last_event", default=0))["last"]
    return Event.objects.filter(pk__gt=sealed).order_by("pk").values_list("at", flat=True).first()


def set_limit() -> SealingLimit:
    """Store the largest id there is, and then the transactions that can still add a smaller one."""
    last_event = Event.objects.aggregate(last=Max("pk", default=0))["last"]
    limit, _created = SealingLimit.objects.update_or_create(
        pk=LIMIT, defaults={"last_event": last_event, "writers": present_writers()}
    )
    return limit


def present_writers() -> list[str]:
    """Return the transactions of others that have begun to write events and have not ended."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT virtualtransaction FROM pg_locks"
            " WHERE locktype = 'relation' AND relation = 'audit_event'::regclass AND mode = 'RowExclusiveLock'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND pid IS DISTINCT FROM pg_backend_pid()"
        )
        return [row[0] for row in cursor.fetchall()]


def seal_up_to(last_event: int, *, now: datetime) -> int:
    """Append seals until the events up to this id are sealed; return how many events that were."""
    latest, sealed = Seal.objects.defer("leaves").order_by("-number").first(), 0
    for _turn in range(SEALS_AT_ONCE):
        rows = lines_between(latest.last_event if latest else 0, last_event)
        if not rows:
            break
        latest = append_seal(latest, rows, now=now)
        sealed += latest.count
    if sealed and latest:
        logger.info("Seal %s of the audit log: %s", latest.number, latest.hash)  # logs are kept elsewhere
    return sealed


def lines_between(after: int, last: int) -> list[tuple[int, bytes]]:
    """Return the ids and lines of the first events after one id, up to another one."""
    events = Event.objects.filter(pk__gt=after, pk__lte=last).order_by("pk")
    seconds = Func(F("at"), template="extract(epoch FROM %(expressions)s)::text", output_field=TextField())
    found = events.annotate(
        seconds=seconds, before_text=Cast("before", TextField()), after_text=Cast("after", TextField())
    ).values_list(*COLUMNS)
    return [(values[0], line_of(values)) for values in found[:EVENTS_IN_A_SEAL]]


def line_of(values: Sequence[Any]) -> bytes:
    return "\t".join(r"\N" if each is None else str(each).translate(ESCAPES) for each in values).encode()


def append_seal(latest: Seal | None, rows: Sequence[tuple[int, bytes]], *, now: datetime) -> Seal:
    """Store a signed seal of these events after the latest one."""
    seal = Seal(
        number=latest.number + 1 if latest else 1,
        first_event=rows[0][0],
        last_event=rows[-1][0],
        count=len(rows),
        leaves=b"".join(LEAF.pack(pk, hashlib.sha256(line).digest()) for pk, line in rows),
        sealed_at=now,
    )
    seal.hash = hashlib.sha256(head_of(seal, latest.hash if latest else "") + seal.leaves).hexdigest()
    key = signing.private_key()
    seal.signed_with, seal.signature = signing.id_of(key.public_key()), key.sign(signed_part(seal.hash))
    seal.save(force_insert=True)
    return seal


def head_of(seal: Seal, hash_before: str) -> bytes:
    """Return what is hashed before the leaves: a line each; the hash before is empty for the first seal."""
    microseconds = (seal.sealed_at - EPOCH) // MICROSECOND
    numbers = (seal.number, seal.first_event, seal.last_event, seal.count, microseconds)
    return "".join(f"{each}\n" for each in (VERSION, hash_before, *numbers)).encode()


def signed_part(digest: str) -> bytes:
    """Return what is signed of a seal: no signed file begins like this, so none can be taken for a seal."""
    return f"{VERSION} {digest}".encode()
