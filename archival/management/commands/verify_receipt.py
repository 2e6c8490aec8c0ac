"""``manage.py verify_receipt FILE``: check that Studio signed a file of receipts and nobody changed it."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from archival.journal.receipt_file import NotAuthentic, summarise, verify
from archival.journal.signing import public_keys
from web.commands import RefusingCommand


class Command(RefusingCommand):
    help = "Check the signature of a downloaded file of receipts. Exit code 1 if it is not authentic."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the signed file; - reads the standard input")
        parser.add_argument("--public-key", metavar="PEM", help="a file with the public key (default: this Studio's)")

    def handle(self, *, file: str, public_key: str | None, **options: Any) -> None:
        try:
            document = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
            pem = Path(public_key).read_text(encoding="ascii") if public_key else public_keys()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(str(error), returncode=2) from error
        try:
            self.stdout.write(summarise(verify(document, pem)))
        except NotAuthentic as error:
            raise CommandError(str(error)) from error
