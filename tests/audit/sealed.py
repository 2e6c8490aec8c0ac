"""What somebody with every right in the database can do to the audit log, but who has no key."""

from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from django.utils import timezone

from audit import sealing, signing
from audit.models import Seal
from audit.services import record
from audit.verification import BrokenLink, verify_chain

HER_KEY = Ed25519PrivateKey.generate()


def write_events(count: int) -> list[int]:
    return [record("thing.done", by=None, after={"number": number}).pk for number in range(count)]


def seal() -> int:
    return sealing.seal_events(now=timezone.now())


def told(heads=()) -> str:
    """Return what ``verify_chain`` says is broken; empty if it is whole."""
    try:
        verify_chain(heads)
    except BrokenLink as error:
        return str(error)
    return ""


@contextmanager
def no_triggers() -> Iterator[None]:
    run(*(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in ("audit_event", "audit_seal")))
    yield
    run(*(f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in ("audit_event", "audit_seal")))


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def tamper(*statements: str) -> None:
    """Run statements as the owner of the tables."""
    with no_triggers():
        run(*statements)


def cut(after: int) -> None:
    """Delete the seals after this one."""
    tamper(f"DELETE FROM audit_seal WHERE number > {after}")


def write_chain_again(key: Ed25519PrivateKey = HER_KEY, *, says_key: str | None = None) -> None:
    """Make every seal again from the events that are there, with the code that Studio has too, and another key."""
    bounds = list(Seal.objects.order_by("number").values_list("last_event", "sealed_at"))
    cut(0)
    latest, after = None, 0
    for last, sealed_at in bounds:
        rows = sealing.lines_between(after, last)
        latest, after = sealing.append_seal(latest, rows, now=sealed_at), last
        signature = key.sign(sealing.signed_part(latest.hash)).hex()
        key_id = says_key or signing.id_of(key.public_key())
        signed = f"signature = '\\x{signature}', signed_with = '{key_id}'"
        tamper(f"UPDATE audit_seal SET {signed} WHERE number = {latest.number}")
