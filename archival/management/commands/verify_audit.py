"""``manage.py verify_audit``: check the audit log's seals, events and signed heads; exit code 1 if one is wrong."""

from typing import Any

from django.core.management.base import CommandError

from archival.journal.heads import read_heads
from archival.journal.receipt_file import NotAuthentic
from audit.verification import BrokenLink, SignedHead, Verified, verify_chain
from web.commands import RefusingCommand


class Command(RefusingCommand):
    help = (
        "Check, with code that shares nothing with the sealing, that no event of the audit log was changed, removed or "
        "added since it was sealed. Exit code 1, and the first broken link, if one was."
    )

    def handle(self, **options: Any) -> None:
        self.begin("Reading the audit log …")
        try:
            found = verify_chain(list(read_heads()))
        except (BrokenLink, NotAuthentic) as error:
            raise CommandError(f"BROKEN: {error}") from error
        for restore in found.restores:
            self.stdout.write(in_words(restore))
        self.stdout.write(summarise(found))


def in_words(restore: SignedHead) -> str:
    return f"Restored {restore.at:%Y-%m-%d %H:%M} UTC: a backup was put back that ends with seal {restore.number}."


def summarise(found: Verified) -> str:
    signed = "no head signed yet"
    if found.signed:
        signed = f"head {found.signed.number} signed {found.signed.at:%Y-%m-%d %H:%M} UTC ({found.signed.where})"
    return f"OK: {found.events} events in {found.seals} seals, {signed}, {found.unsealed} not sealed yet."
