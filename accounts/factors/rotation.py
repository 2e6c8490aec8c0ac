"""Rotation of ``TOTP_KEYS``: encrypting TOTP secrets and waiting mails with the newest key."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from accounts.models import TotpDevice
from web.models import Delivery
from web.sealing import box

LOOKED_AT = 100  # a check at the start must not read every row


@dataclass
class Rotation:
    """Counts: secrets encrypted with the newest key now, left on older keys, and opened by no key."""

    newest: int = 0
    rotated: int = 0
    left: int = 0
    lost: int = 0


def rotate(*, dry_run: bool = False) -> Rotation:
    """Encrypt every secret with the newest of ``TOTP_KEYS``; commits row by row and returns the counts.

    The secrets are those of apps, of unsent mails, and what ``SEALED_COLUMNS`` names. Log-ins continue meanwhile, and a
    second run continues where a killed one stopped. ``dry_run`` only counts.
    """
    done = Rotation()
    rotate_rows(TotpDevice.objects.all(), "secret", done, dry_run=dry_run)
    rotate_rows(Delivery.objects.waiting(), "sealed", done, dry_run=dry_run)
    for label, column in settings.SEALED_COLUMNS.items():
        rows = apps.get_model(label).objects.filter(**{f"{column}__isnull": False})
        rotate_rows(rows, column, done, dry_run=dry_run)
    return done


def rotate_rows(rows: QuerySet[Any], column: str, done: Rotation, *, dry_run: bool) -> None:
    """Encrypt one column of these rows with the newest key; adds to the counts in ``done``."""
    for number in rows.order_by("pk").values_list("pk", flat=True).iterator():
        with transaction.atomic():
            row = rows.select_for_update().filter(pk=number).first()
            if row is None:
                continue
            sealed = bytes(getattr(row, column))
            if opens_with_newest(sealed):
                done.newest += 1
            elif not opens(sealed):
                done.lost += 1
            elif dry_run:
                done.left += 1
            else:
                setattr(row, column, box().rotate(sealed))
                row.save(update_fields=[column])
                done.newest += 1
                done.rotated += 1


def opens_with_newest(sealed: bytes) -> bool:
    try:
        Fernet(settings.TOTP_KEYS[0]).decrypt(sealed)
    except InvalidToken:
        return False
    return True


def opens(sealed: bytes) -> bool:
    try:
        box().decrypt(sealed)
    except InvalidToken:
        return False
    return True


def latest_secrets() -> Iterator[bytes]:
    """Yield the sealed secrets of the apps that were set up last."""
    rows = TotpDevice.objects.filter(confirmed=True).order_by("-pk").values_list("secret", flat=True)[:LOOKED_AT]
    return (bytes(secret) for secret in rows)
