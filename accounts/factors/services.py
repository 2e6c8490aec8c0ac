"""Second factors: add, check every kind of code, rename, remove and reset.

Every check of a code is here, and first reserves a try of the user's budget, which all factors share.
"""

import secrets
from datetime import datetime

import django_otp
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_otp.models import Device

from accounts import mail, totp
from accounts.choices import MAILBOX_CODE_LASTS, RECOVERY, RECOVERY_CODE_COUNT, MailPurpose
from accounts.fields import without_separators
from accounts.models import RecoveryCode, TotpDevice, User
from accounts.requirement import device_of, devices_of, has_factor, mfa_required
from accounts.sessions import services as sessions
from accounts.standing import lock_to_act
from accounts.throttle.budgets import codes_of, current_address, mails_to, one_try, use_up
from audit.services import record
from web import deliveries
from web.versions import ChangedMeanwhile, is_seen

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: 5 bits a character
RECOVERY_CODE_LENGTH = 16  # 80 bits
READ_ALIKE = str.maketrans("oil", "011")


class WrongCode(ValidationError):
    """The code is wrong, was used already or has expired; the error does not say which."""

    def __init__(self) -> None:
        super().__init__(_("That code was not right, or it was used already."), code="wrong_code")


class FactorGone(ValidationError):
    """There is no such factor any more."""


def verify_app(user: User, code: object, *, now: datetime) -> Device:
    """Return the authenticator app of ``user`` that shows ``code`` now, and use up the code.

    Raises ``WrongCode`` and ``TooManyTries``.
    """
    with one_try(current_address(), codes_of(user)):
        with transaction.atomic():
            lock_to_act(user, is_fresh=False)
            for device in TotpDevice.objects.devices_for_user(user, confirmed=True).order_by("pk"):
                if django_otp.verify_token(user, device.persistent_id, without_separators(code)):
                    return device
        raise _refusal(user, "app")


def use_recovery_code(user: User, code: object, *, now: datetime) -> int:
    """Use up one recovery code of ``user``, mail them, and return how many codes are left.

    Raises ``WrongCode`` and ``TooManyTries``. A user without a device cannot use a code.
    """
    with one_try(current_address(), codes_of(user)):
        code_hash = RecoveryCode.hash_of(normalise(code))
        unused = user.recovery_codes.filter(used_at=None)
        with transaction.atomic():
            lock_to_act(user, is_fresh=False)
            if has_factor(user) and unused.filter(hash=code_hash).update(used_at=now):
                left = unused.count()
                record("recovery_code.used", by=user, subject=user, after={"left": left})
                mail.send(user, "recovery_code_used", {"left": left, "of": RECOVERY_CODE_COUNT, "at": now})
                return left
        raise _refusal(user, "recovery")


def normalise(code: object) -> str:
    """Return a recovery code in the form that is hashed: no separators, lower case, look-alike letters as digits."""
    bare = without_separators(code)
    return bare.lower().translate(READ_ALIKE) if bare.isascii() else ""


def send_mailbox_code(user: User, *, purpose: MailPurpose, now: datetime) -> None:
    """Mail ``user`` a six-digit code; earlier codes for this purpose stop working.

    Each mail counts against a budget of its own. Raises ``TooManyTries`` when it is spent.
    """
    use_up(mails_to(user))
    code = f"{secrets.randbelow(10**totp.DIGITS):0{totp.DIGITS}d}"
    with transaction.atomic():
        lock_to_act(user, is_fresh=False)
        user.mailbox_codes.filter(purpose=purpose).delete()
        user.mailbox_codes.create(
            purpose=purpose, hash=_mailbox_hash(user, code), created_at=now, expires_at=now + MAILBOX_CODE_LASTS
        )
        minutes = int(MAILBOX_CODE_LASTS.total_seconds() // 60)
        facts = {"code": code, "minutes": minutes, "purpose": purpose, "at": now}
        expires_at, about = now + MAILBOX_CODE_LASTS, about_code(user, purpose)
        mail.send(user, "mailbox_code", facts, expires_at=expires_at, about=about)


def about_code(user: User, purpose: MailPurpose) -> str:
    """Return the value of ``about`` for a mail with a code; a database trigger uses it too (migration 0010)."""
    return f"mailbox code {user.pk} {purpose}"


def use_mailbox_code(user: User, code: object, *, purpose: MailPurpose, now: datetime) -> None:
    """Use up the code mailed for this purpose. Raises ``WrongCode`` and ``TooManyTries``."""
    with one_try(current_address(), codes_of(user)):
        sent = user.mailbox_codes.filter(purpose=purpose, used_at=None, expires_at__gt=now)
        with transaction.atomic():
            lock_to_act(user, is_fresh=False)
            is_right = sent.filter(hash=_mailbox_hash(user, without_separators(code))).update(used_at=now)
        if not is_right:
            raise _refusal(user, "mailbox")


def add_app(user: User, key: bytes, code: object, *, name: str, now: datetime) -> tuple[TotpDevice, list[str]]:
    """Add an authenticator app with the secret ``key`` if ``code`` is right, and mail the user.

    Returns the app, and for a first factor the new recovery codes in plain text (stored as hashes only); for a further
    factor an empty list. Raises ``WrongCode`` and ``TooManyTries``, and then stores nothing.
    """
    with one_try(current_address(), codes_of(user)):
        with transaction.atomic():
            is_first = lock_to_add(user)
            device = TotpDevice(user=user, name=name.strip()[:64] or _("Authenticator app"), confirmed=False)
            device.secret = totp.seal(key, user_id=user.pk)
            device.save()
            if django_otp.verify_token(user, device.persistent_id, without_separators(code)):
                device.refresh_from_db()
                device.confirmed = True
                device.save(update_fields=["confirmed"])
                record_added(user, device, now=now)
                return device, _new_codes(user, now=now) if is_first else []
            transaction.set_rollback(True)
        raise _refusal(user, "app")


def lock_to_add(user: User) -> bool:
    """Lock ``user`` to add a factor, and return whether it is their first; a further one requires step-up.

    Raises ``SessionOver`` and ``StepUpOver``.
    """
    lock_to_act(user, is_fresh=False)
    if not has_factor(user):
        return True
    lock_to_act(user, is_fresh=True)
    return False


def remove(user: User, persistent_id: str, *, by: User, now: datetime) -> Device:
    """Remove a factor, and with the last one the recovery codes; mail the user.

    Ends the sessions that the factor opened, and the step-up of those that it stepped up.

    Raises ``FactorGone`` if the user has no such factor, ``ValidationError`` for the last one of a user who needs one.
    """
    with transaction.atomic():
        lock_to_act(user, is_fresh=True)
        device = device_of(user, persistent_id)
        if device is None:
            raise FactorGone(_("There is no such factor any more."))
        if is_needed(user, device):
            raise ValidationError(_("This is your only second factor, and you need one. Add another one first."))
        type(device).objects.filter(pk=device.pk, user=user).delete()
        sessions.end_of_factor(user, persistent_id, now=now)
        if not has_factor(user):
            user.recovery_codes.all().delete()
            sessions.end_of_factor(user, RECOVERY, now=now)
        record("factor.removed", by=by, subject=user, before={"name": device.name})
        mail.send(user, "factor_removed", {"name": device.name, "at": now})
    return device


def is_needed(user: User, device: Device) -> bool:
    """Return whether removing the device would lock ``user`` out."""
    return devices_of(user) == [device] and mfa_required(user)


def rename(user: User, persistent_id: str, *, name: str, seen: str | None = None) -> str:
    """Rename a factor, and return its name.

    Raises ``FactorGone``, and ``ChangedMeanwhile`` if its name has not the version ``seen``.
    """
    with transaction.atomic():
        lock_to_act(user, is_fresh=False)
        device = device_of(user, persistent_id)
        if device is None:
            raise FactorGone(_("There is no such factor any more."))
        before, device.name = device.name, name.strip()[:64] or device.name
        if before != device.name and not is_seen(seen, before):
            raise ChangedMeanwhile(_("This factor is called %(name)s now.") % {"name": before})
        device.save(update_fields=["name"])
        record("factor.renamed", by=user, subject=user, before={"name": before}, after={"name": device.name})
        return device.name


def make_recovery_codes(user: User, *, now: datetime) -> list[str]:
    """Replace all recovery codes by ten new ones and return them in plain text; only hashes are stored.

    Mails the user if they had codes before.
    """
    with transaction.atomic():
        lock_to_act(user, is_fresh=True)
        return _new_codes(user, now=now)


def _new_codes(user: User, *, now: datetime) -> list[str]:
    codes = [
        "".join(secrets.choice(ALPHABET) for _i in range(RECOVERY_CODE_LENGTH)) for _j in range(RECOVERY_CODE_COUNT)
    ]
    replaced_count, _kinds = user.recovery_codes.all().delete()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(user=user, hash=RecoveryCode.hash_of(code), created_at=now) for code in codes
    )
    record("recovery_codes.made", by=user, subject=user, after={"count": len(codes)})
    if replaced_count:  # the first ones come with a factor, which is mailed
        mail.send(user, "recovery_codes_made", {"at": now})
    return ["-".join(code[start : start + 4] for start in range(0, len(code), 4)) for code in codes]


@transaction.atomic
def record_added(user: User, device: Device, *, now: datetime) -> None:
    """Write an audit event that a factor was added, and mail its owner."""
    record("factor.added", by=user, subject=user, after={"name": device.name, "kind": type(device).__name__})
    mail.send(user, "factor_added", {"name": device.name, "at": now})


def free_name(user: User, stem: str) -> str:
    """Return a name that no factor of ``user`` has: ``stem``, or ``stem`` with a number."""
    taken = {device.name for device in devices_of(user)}
    return next(name for name in (stem, *(f"{stem} {n}" for n in range(2, len(taken) + 3))) if name not in taken)


def _mailbox_hash(user: User, code: str) -> str:
    # Six digits are few: keyed, so that a copy of the table does not tell them.
    return salted_hmac("accounts.mailbox", f"{user.pk}:{code}", algorithm="sha256").hexdigest()


def _refusal(user: User, kind: str) -> WrongCode:
    record("code.refused", by=user, subject=user, after={"kind": kind})
    return WrongCode()


@transaction.atomic
def reset(user: User, *, by: User | None, now: datetime) -> int:
    """Remove all factors and codes of ``user``, end their sessions and mail them.

    Returns how many factors were removed. ``environments.lost_device`` checks the permission of ``by``, which is None
    for the command line.
    """
    lock_to_act(user, is_fresh=True)
    devices = devices_of(user)
    for device in devices:
        device.delete()
    user.recovery_codes.all().delete()
    user.mailbox_codes.all().delete()
    for purpose in MailPurpose:
        deliveries.withdraw(about_code(user, purpose))
    sessions.end_all(user, now=now, why="factors reset")
    record("factors.reset", by=by, subject=user, before={"factors": [device.name for device in devices]})
    mail.send(user, "factors_reset", {"at": now, "by": by.label if by else gettext_lazy("a super user")})
    return len(devices)
