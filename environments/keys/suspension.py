"""Suspend and revoke API keys whose person has lost permissions or has left.

One person is responsible for an organisation's own key: its creator, or whoever took it over since. Once that person
lacks its permissions, has left, or must set up a second factor, the key is suspended until an Administrator takes it
over. A personal key is revoked with its owner's account, and stops working in an organisation when the owner's
membership there ends. Neither comes back by itself, also when the person does.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.requirement import complies
from accounts.standing import lock_to_act
from audit.services import record
from environments import mail as notices
from environments.access import RoleTooLow, permissions_in
from environments.caller import SYSTEM, Caller
from environments.choices import KeySuspension, Permission
from environments.keys.services import can_be_responsible, revoke_key
from environments.models import ApiKey, Membership, Organisation


def reason_to_suspend(key: ApiKey) -> KeySuspension | None:
    """Return why an organisation's own key must be suspended now, or None."""
    person, organisation = key.created_by, key.organisation
    if person is None or organisation is None or not person.is_active:
        return KeySuspension.GONE
    if not can_be_responsible(Caller.of(person), organisation, key.roles):
        return KeySuspension.LOST
    return None if complies(person) else KeySuspension.HELD


def check_complies(person: User) -> None:
    """Raise ``ValidationError`` if ``person`` needs a second factor: a key of theirs would be suspended at once."""
    if not complies(person):
        raise ValidationError(_("Set up a second factor of your own first."))


def review_key(key: ApiKey, *, now: datetime) -> bool:
    """Return whether an organisation's own key works; if there is a reason, suspend it and mail the administrators."""
    if key.rests_since is None and suspend_key(key, now=now):
        notices.mail_about_suspended_keys([key], now=now)
    return key.rests_since is None


@transaction.atomic
def suspend_key(key: ApiKey, *, now: datetime) -> bool:
    """Suspend a key if there is a reason; returns whether it was suspended."""
    reason = reason_to_suspend(key)
    if reason is None:
        return False
    key.rests_since, key.rests_because = now, reason
    unsuspended = ApiKey.objects.filter(pk=key.pk, created_by=key.created_by, rests_since=None, revoked_at=None)
    if not unsuspended.update(rests_since=now, rests_because=reason):
        return False
    record("api_key.rested", key.organisation, by=None, subject=key, after={"why": reason})
    return True


@transaction.atomic
def review_keys(*, now: datetime, person: User | None = None, around: Organisation | None = None) -> None:
    """Suspend every working key of an organisation that has a reason for it; one mail for each organisation.

    With ``person``, only keys that they are responsible for. With ``around``, keys of that organisation and below it,
    and keys of people with roles there or above it: those roles can mean less now, or require a second factor.
    """
    keys = ApiKey.objects.filter(owner=None, revoked_at=None, rests_since=None)
    keys = keys.filter(Q(expires_at=None) | Q(expires_at__gt=now))
    if person is not None:
        keys = keys.filter(created_by=person)
    if around is not None:
        below = Organisation.objects.below(around).order_by()
        people = Membership.objects.filter(organisation__in=below | Organisation.objects.above(around).order_by())
        keys = keys.filter(Q(organisation__in=below) | Q(created_by__in=people.values("user")))
    suspended: dict[int | None, list[ApiKey]] = {}
    for key in keys.select_related("created_by", "organisation").order_by("pk"):
        if suspend_key(key, now=now):
            suspended.setdefault(key.organisation_id, []).append(key)
    for keys_of_one in suspended.values():
        notices.mail_about_suspended_keys(keys_of_one, now=now)


@transaction.atomic
def take_over_key(key: ApiKey, *, by: Caller, now: datetime) -> None:
    """Make ``by`` responsible for an organisation's own key; a suspended key works again.

    Raises ``PermissionDenied`` if ``by`` could not create it, ``ValidationError`` if they lack a second factor that
    they need, and for a key that was revoked or has expired.
    """
    person = by.require_person()
    locked_person = lock_to_act(person, is_fresh=True)
    locked = ApiKey.objects.select_for_update().get(pk=key.pk)
    organisation = key.organisation
    if organisation is None or not locked_person.is_active or not can_be_responsible(by, organisation, locked.roles):
        raise RoleTooLow
    if locked.revoked_at is not None or (locked.expires_at is not None and locked.expires_at <= now):
        raise ValidationError(_("This key was revoked, or has expired."))
    check_complies(person)
    before = {"answers": str(locked.created_by) if locked.created_by else None}
    locked.created_by, locked.rests_since, locked.rests_because = person, None, ""
    locked.save(update_fields=["created_by", "rests_since", "rests_because"])
    record("api_key.taken_over", organisation, by=by, subject=key, before=before, after={"answers": str(by)})


@transaction.atomic
def end_keys_with_memberships(
    user: User, organisations: Sequence[Organisation], *, by: Caller, now: datetime, mails_owner: bool = True
) -> None:
    """Close the organisations of ended memberships to the keys of ``user``; revoke keys without any access left."""
    ended = {organisation.pk for organisation in organisations}
    for key in (
        ApiKey.objects.filter(owner=user, revoked_at=None).select_related("organisation", "owner").order_by("pk")
    ):
        key.ended_in = sorted({*key.ended_in, *ended})
        key.save(update_fields=["ended_in"])
        if not has_any_access(key, now=now):
            revoke_key(key, by=by, now=now, place=organisations[0], mails_owner=mails_owner)


def has_any_access(key: ApiKey, *, now: datetime) -> bool:
    """Return whether a personal key has access to anything."""
    if key.organisation is not None:
        return Permission.VIEW in permissions_in(Caller.by_key(key), key.organisation)
    if key.owner is not None and key.owner.is_superuser:
        return True
    return Membership.objects.live(now).filter(user=key.owner).exclude(organisation__in=key.ended_in).exists()


def revoke_keys_of_closed_accounts(keys: Iterable[ApiKey], *, now: datetime) -> None:
    """Revoke these keys; their owners' accounts are closed, so nobody is mailed."""
    for key in keys:
        revoke_key(key, by=SYSTEM, now=now, mails_owner=False)


def revoke_all_of_closed_accounts(*, now: datetime) -> None:
    """Revoke every key whose owner's account is closed, or was closed since the key was created."""
    was_closed = Q(owner__is_active=False) | Q(owner__isnull=False, rests_since__isnull=False)
    revoke_keys_of_closed_accounts(ApiKey.objects.filter(was_closed, revoked_at=None).order_by("pk"), now=now)
