"""Check the chain of seals and every sealed event; shares no code with ``audit/sealing.py``, which describes the chain.

Reads with SQL of its own: the lines of events as PostgreSQL's COPY writes them.
"""

import hashlib
import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, pairwise
from operator import itemgetter
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import connection

from audit import signing

SEALS_AT_ONCE = 100
LEAF_BYTES = 40  # 8 of the id, 32 of the digest
READ_SEALS = """
SELECT number, first_event, last_event, count, leaves, (extract(epoch FROM sealed_at) * 1000000)::bigint, hash,
    signed_with, signature
FROM audit_seal WHERE number > %s ORDER BY number LIMIT %s
"""
COPY_EVENTS = """
COPY (
    SELECT id, extract(epoch FROM at), action, actor_kind, actor_id, actor_label, impersonator_id, impersonator_label,
        organisation_id, organisation_label, subject_kind, subject_id, subject_label, before, after, address, request_id
    FROM audit_event WHERE id BETWEEN {first:d} AND {last:d} ORDER BY id
) TO STDOUT
"""


class BrokenLink(Exception):
    """The first link of the chain that does not hold, in words with the numbers of the seal and of the event."""


@dataclass(frozen=True)
class SignedHead:
    """The end of the chain as it was signed outside the database."""

    number: int  # of the latest seal; 0 if there was none
    hash: str
    at: datetime
    where: str  # the name of its file
    is_restore: bool = False  # a backup was put back: the chain went on from here, and later seals were gone


@dataclass(frozen=True)
class Link:
    """One seal, as read from the database."""

    number: int
    first_event: int
    last_event: int
    count: int
    leaves: bytes
    microseconds: int
    hash: str
    signed_with: str
    signature: bytes

    def leaf_pairs(self) -> Iterator[tuple[int, bytes]]:
        """Yield the id and the digest of each event."""
        for start in range(0, len(self.leaves), LEAF_BYTES):
            leaf = self.leaves[start : start + LEAF_BYTES]
            yield int.from_bytes(leaf[:8], "big"), leaf[8:]

    def hash_after(self, hash_before: str) -> str:
        numbers = (self.number, self.first_event, self.last_event, self.count, self.microseconds)
        lines = ("studio audit seal 1", hash_before, *map(str, numbers), "")
        return hashlib.sha256("\n".join(lines).encode() + self.leaves).hexdigest()


LEAST = -(2**63)  # of all ids that the database can have, so that an event below the first one is found
START = Link(0, 0, LEAST - 1, 0, b"", 0, "", "", b"")


@dataclass
class Verified:
    """What was found to be whole."""

    events: int = 0
    seals: int = 0
    unsealed: int = 0
    signed: SignedHead | None = None  # the latest that the journal has
    restores: list[SignedHead] = field(default_factory=list)


def verify_chain(heads: Iterable[SignedHead]) -> Verified:
    """Check every seal, event and signed head. Raises ``BrokenLink`` with the first that is wrong.

    ``heads`` are in the order in which they were signed, and were read before. Sealing can go on meanwhile.
    """
    ordered = list(heads)
    due, keys = heads_in_force(ordered), {signing.id_of(key): key for key in signing.public_keys()}
    found = Verified(signed=ordered[-1] if ordered else None, restores=[each for each in ordered if each.is_restore])
    before, agreed = START, 0
    for batch in batches_of_links():
        lines, start = read_lines(first=before.last_event + 1, last=batch[-1].last_event), 0
        for link in batch:
            check_link(link, before, keys)
            if link.number in due:
                check_head(link, due.pop(link.number), agreed)
                agreed = link.number
            end = bisect_right(lines, link.last_event, lo=start, key=itemgetter(0))
            check_events(link, lines[start:end])
            start, before = end, link
            found.events, found.seals = found.events + link.count, found.seals + 1
    if due:
        raise BrokenLink(name_cut(min(due), due[min(due)], before))
    found.unsealed = count_from(before.last_event + 1)
    return found


def heads_in_force(heads: Iterable[SignedHead]) -> dict[int, SignedHead]:
    """Return by number the heads that the chain must have: a restore ends those of seals that the backup lacked."""
    due: dict[int, SignedHead] = {}
    for head in heads:
        if head.is_restore:
            due = {number: each for number, each in due.items() if number <= head.number}
        if (other := due.get(head.number)) and other.hash != head.hash:
            raise BrokenLink(
                f"Seal {head.number} was signed twice with different content, in {other.where} and in {head.where}: "
                "the chain was cut and written again."
            )
        if head.number:
            due[head.number] = head
    return due


def batches_of_links() -> Iterator[list[Link]]:
    number = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(READ_SEALS, [number, SEALS_AT_ONCE])
            rows = cursor.fetchall()
        if not rows:
            return
        yield [link_of(*row) for row in rows]
        number = rows[-1][0]


def link_of(*row: Any) -> Link:
    values: list[Any] = [bytes(each) if isinstance(each, memoryview) else each for each in row]
    return Link(*values)


def read_lines(*, first: int, last: int) -> list[tuple[int, bytes]]:
    """Return the id and the line of each event with an id in this range."""
    output = io.BytesIO()
    with connection.cursor() as cursor:
        cursor.cursor.copy_expert(COPY_EVENTS.format(first=first, last=last), output)
    lines = output.getvalue().split(b"\n")[:-1]  # a line break inside a value is escaped
    return [(int(line[: line.index(b"\t")]), line) for line in lines]


def check_link(link: Link, before: Link, keys: dict[str, Ed25519PublicKey]) -> None:
    """Check that a seal follows the one before and that Studio signed it."""
    if link.number != before.number + 1:
        raise BrokenLink(f"Seal {before.number + 1} is missing: seal {link.number} follows on seal {before.number}.")
    if link.hash_after(before.hash) != link.hash:
        raise BrokenLink(f"Seal {link.number} was changed: its hash does not follow from it and from the seal before.")
    key = keys.get(link.signed_with)
    if key is None:
        raise BrokenLink(f"Seal {link.number} was signed with the unknown key {link.signed_with}.")
    try:
        key.verify(link.signature, f"studio audit seal 1 {link.hash}".encode())
    except InvalidSignature:
        raise BrokenLink(
            f"Seal {link.number} was not signed by Studio: the chain was written again from there, without the key."
        ) from None


def check_head(link: Link, head: SignedHead, agreed: int) -> None:
    if link.hash != head.hash:
        raise BrokenLink(
            f"Seal {link.number} is another one than {head.where} says, signed {head.at:%Y-%m-%d %H:%M} UTC: the chain "
            f"was cut and written again after seal {agreed}."
        )


def check_events(link: Link, lines: Sequence[tuple[int, bytes]]) -> None:
    """Check that the events between the seal before and this one are those that were sealed."""
    sealed = dict(link.leaf_pairs())
    present = {pk: hashlib.sha256(line).digest() for pk, line in lines}
    if sealed == present and len(lines) == len(sealed):
        return
    for pk in sorted({*sealed, *present}):
        where = f"Seal {link.number}: event {pk}"
        if pk not in present:
            raise BrokenLink(f"{where} was removed.")
        if pk not in sealed:
            raise BrokenLink(f"{where} was added after the events before and after it were sealed.")
        if sealed[pk] != present[pk]:
            other = original_of(dict(lines)[pk])
            raise BrokenLink(f"{where} was changed" + (f": it has the content of event {other}." if other else "."))
    twice = next(pk for (pk, _line), (next_pk, _next) in pairwise(lines) if pk == next_pk)
    raise BrokenLink(f"Seal {link.number}: event {twice} is there twice.")


def original_of(line: bytes) -> int | None:
    """Return the event that was sealed with the content of this line, if another one was; reads every seal."""
    content = line[line.index(b"\t") :]
    leaves = chain.from_iterable(link.leaf_pairs() for batch in batches_of_links() for link in batch)
    return next((pk for pk, digest in leaves if hashlib.sha256(b"%d" % pk + content).digest() == digest), None)


def count_from(event: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_event WHERE id >= %s", [event])
        count: int = cursor.fetchone()[0]
    return count


def name_cut(number: int, head: SignedHead, last: Link) -> str:
    return (
        f"Seal {last.number + 1} is missing: the chain ends with seal {last.number}, and {head.where}, signed "
        f"{head.at:%Y-%m-%d %H:%M} UTC, has seal {number}. The chain was cut, or a backup was put back without "
        "manage.py reapply_purges."
    )
