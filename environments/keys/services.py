"""Create and revoke API keys. Only the hash of a key is stored; a revoked key never works again."""

import hashlib
import secrets
import string
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import mail
from accounts.models import User
from accounts.standing import lock_person, lock_to_act
from audit.services import record
from environments.access import RoleTooLow, permissions_in
from environments.caller import SYSTEM, Caller
from environments.choices import Permission, Role, permissions_of
from environments.models import ApiKey, Membership, Organisation

SCHEME = "studio"
PREFIX_LENGTH = 10
SECRET_BYTES = 32  # 256 random bits
_LETTERS = string.ascii_lowercase + string.digits


def hash_of(raw: str) -> str:
    """Return the hash of a key that is stored: SHA-256 of the whole key, in hexadecimal."""
    return hashlib.sha256(raw.encode()).hexdigest()


def live_keys_of(user: User) -> QuerySet[ApiKey]:
    """Return the personal keys of ``user`` that are not revoked, the newest first; they outlive every session."""
    mine = ApiKey.objects.filter(owner=user, revoked_at=None).select_related("organisation")
    return mine.order_by("-created_at", "-pk")


def prefix_of(raw: str) -> str | None:
    """Return the public part of a key, by which it is found; None if ``raw`` does not have the form of a key."""
    parts = raw.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == SCHEME and len(parts[1]) == PREFIX_LENGTH else None


def can_have_own_keys(user: User, *, now: datetime) -> bool:
    """Return whether ``user`` has a role, in any organisation, with the permission to use personal API keys."""
    granted = Membership.objects.live(now).allowing(Permission.USE_API_KEYS)
    return user.is_superuser or granted.filter(user=user).exists()


@transaction.atomic
def create_personal_key(
    owner: User,
    *,
    name: str,
    organisation: Organisation | None = None,
    expires_at: datetime | None = None,
    by: Caller,
    now: datetime,
) -> tuple[ApiKey, str]:
    """Create a key with the permissions of ``owner``, limited to ``organisation`` if there is one.

    Returns the row and the key itself, which cannot be shown again; mails the owner. The page checks
    ``can_have_own_keys`` first; the command can create a key for anybody. Raises ``ValidationError`` for an empty name,
    an expiry in the past and an organisation that the owner has no access to.
    """
    lock_to_act(owner, is_fresh=True)
    if organisation is not None and Permission.VIEW not in permissions_in(Caller.of(owner), organisation):
        raise ValidationError(_("The owner has no access to this organisation."))
    key = ApiKey(name=name, owner=owner, organisation=organisation, expires_at=expires_at)
    return _mint(key, by=by, now=now)


@transaction.atomic
def create_organisation_key(
    organisation: Organisation,
    *,
    name: str,
    roles: list[str],
    expires_at: datetime | None = None,
    by: Caller,
    now: datetime,
) -> tuple[ApiKey, str]:
    """Create a key of the organisation with these roles; ``by`` is responsible for it (``keys.suspension``).

    Returns the row and the key itself, which cannot be shown again; mails ``by``. Raises ``PermissionDenied`` if ``by``
    cannot be responsible for it, ``ValidationError`` for no or unknown roles and an empty name.
    """
    person = by.require_person()
    now_by = lock_to_act(person, is_fresh=True)
    if not roles or set(roles) - set(Role.values):
        raise ValidationError({"roles": _("Choose at least one role.")})
    if not now_by.is_active or not can_be_responsible(by, organisation, roles):
        raise RoleTooLow
    key = ApiKey(name=name, organisation=organisation, roles=sorted(set(roles)), expires_at=expires_at)
    key.created_by = person
    return _mint(key, by=by, now=now)


def can_be_responsible(caller: Caller, organisation: Organisation, roles: list[str]) -> bool:
    """Return whether the caller manages keys in the organisation and has all permissions of these roles."""
    held = permissions_in(caller, organisation)
    return Permission.MANAGE_API_KEYS in held and permissions_of(roles) <= held


def _mint(key: ApiKey, *, by: Caller, now: datetime) -> tuple[ApiKey, str]:
    key.name = key.name.strip()
    if key.expires_at is not None and key.expires_at <= now:
        raise ValidationError({"expires_at": _("Choose a moment in the future.")})
    key.prefix = "".join(secrets.choice(_LETTERS) for _number in range(PREFIX_LENGTH))
    raw = f"{SCHEME}_{key.prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    key.hash, key.created_at = hash_of(raw), now
    if key.created_by is None:
        key.created_by = by.person
    key.full_clean(exclude=["organisation", "owner", "created_by", "roles", "expires_at", "last_used_at", "revoked_at"])
    key.save()
    after = {"name": key.name, "roles": key.roles, "expires_at": key.expires_at}
    record("api_key.created", key.organisation, by=by, subject=key, after=after)
    if recipient := key.owner or key.created_by:
        place = key.organisation.name if key.organisation else ""
        facts = {"name": key.name, "prefix": key.prefix, "organisation": place, "expires_at": key.expires_at, "at": now}
        mail.send(recipient, "api_key_created", {**facts, "is_own": key.owner is not None})
    return key, raw


@transaction.atomic
def revoke_key(
    key: ApiKey, *, by: Caller, now: datetime, place: Organisation | None = None, mails_owner: bool = True
) -> None:
    """Revoke a key for good. Revoking it again changes nothing.

    Recorded in the audit log of its organisation, or else of ``place``, where it was revoked. The owner is mailed if
    somebody else revoked it, unless ``mails_owner`` is False.
    """
    if key.owner is not None:
        lock_person(key.owner)
    if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
        return
    key.revoked_at = now
    record("api_key.revoked", key.organisation or place, by=by, subject=key)
    if mails_owner and key.owner is not None and key.owner != by.person:
        facts = {"name": key.name, "prefix": key.prefix, "by": None if by == SYSTEM else by, "at": now}
        mail.send(key.owner, "api_key_revoked", facts)
