"""Keys whose cause has ended. What ended stays ended, also once the cause is back.

Somebody answers for an organisation's own key: whoever minted it, or took it over. Once that person lacks its
permissions, is gone, or is held by the multi-factor requirement, the key rests until an Administrator takes it over. A
person's key ends with the account, and forgets each membership that ends.
"""

from collections.abc import Iterable
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
from environments.choices import KeyRest, Permission
from environments.keys.services import can_answer, revoke_key
from environments.models import ApiKey, Membership, Organisation


def reason_to_rest(key: ApiKey) -> KeyRest | None:
    """Return why an organisation's own key cannot work now, or None if it can."""
    person, organisation = key.created_by, key.organisation
    if person is None or organisation is None or not person.is_active:
        return KeyRest.GONE
    if not can_answer(Caller.of(person), organisation, key.roles):
        return KeyRest.LOST
    return None if complies(person) else KeyRest.HELD


def check_complies(person: User) -> None:
    """Raise ``ValidationError`` where a key that ``person`` answers for would rest at its first call."""
    if not complies(person):
        raise ValidationError(_("Set up a second factor of your own first."))


def review(key: ApiKey, *, now: datetime) -> bool:
    """Tell whether an organisation's own key works; one that cannot is put to rest, and its administrators are told."""
    if key.rests_since is None and rest(key, now=now):
        notices.tell_of_resting_keys([key], now=now)
    return key.rests_since is None


@transaction.atomic
def rest(key: ApiKey, *, now: datetime) -> bool:
    """Put a key to rest if there is a reason, and return whether there was."""
    why = reason_to_rest(key)
    if why is None:
        return False
    key.rests_since, key.rests_because = now, why
    awake = ApiKey.objects.filter(pk=key.pk, created_by=key.created_by, rests_since=None, revoked_at=None)
    if not awake.update(rests_since=now, rests_because=why):
        return False
    record("api_key.rested", key.organisation, by=None, subject=key, after={"why": why})
    return True


@transaction.atomic
def review_all(*, now: datetime, by: User | None = None, around: Organisation | None = None) -> None:
    """Review every organisation's own key that works; one mail an organisation.

    With ``by`` those that this person answers for. With ``around`` those of that organisation and below it, and those
    that its people answer for, whose roles there or above it can mean less now, or require a second factor.
    """
    found = ApiKey.objects.filter(owner=None, revoked_at=None, rests_since=None)
    found = found.filter(Q(expires_at=None) | Q(expires_at__gt=now))
    if by is not None:
        found = found.filter(created_by=by)
    if around is not None:
        below = Organisation.objects.below(around).order_by()
        people = Membership.objects.filter(organisation__in=below | Organisation.objects.above(around).order_by())
        found = found.filter(Q(organisation__in=below) | Q(created_by__in=people.values("user")))
    rested: dict[int | None, list[ApiKey]] = {}
    for key in found.select_related("created_by", "organisation").order_by("pk"):
        if rest(key, now=now):
            rested.setdefault(key.organisation_id, []).append(key)
    for keys in rested.values():
        notices.tell_of_resting_keys(keys, now=now)


@transaction.atomic
def take_over(key: ApiKey, *, by: Caller, now: datetime) -> None:
    """Make ``by`` responsible for an organisation's own key, which works again if it rested.

    Raises ``PermissionDenied`` where ``by`` could not mint it, ``ValidationError`` where they lack a second factor that
    they need, and for a key that is over.
    """
    person = by.require_person()
    now_by = lock_to_act(person, is_fresh=True)
    kept = ApiKey.objects.select_for_update().get(pk=key.pk)
    organisation = key.organisation
    if organisation is None or not now_by.is_active or not can_answer(by, organisation, kept.roles):
        raise RoleTooLow
    if kept.revoked_at is not None or (kept.expires_at is not None and kept.expires_at <= now):
        raise ValidationError(_("This key was revoked, or has expired."))
    check_complies(person)
    before = {"answers": str(kept.created_by) if kept.created_by else None}
    kept.created_by, kept.rests_since, kept.rests_because = person, None, ""
    kept.save(update_fields=["created_by", "rests_since", "rests_because"])
    record("api_key.taken_over", organisation, by=by, subject=key, before=before, after={"answers": str(by)})


@transaction.atomic
def end_with_membership(user: User, organisation: Organisation, *, by: Caller, now: datetime) -> None:
    """Take an ended membership out of the keys of ``user``; those that reach nothing more are revoked."""
    for key in (
        ApiKey.objects.filter(owner=user, revoked_at=None).select_related("organisation", "owner").order_by("pk")
    ):
        key.ended_in = sorted({*key.ended_in, organisation.pk})
        key.save(update_fields=["ended_in"])
        if not reaches_anything(key, now=now):
            revoke_key(key, by=by, now=now, place=organisation)


def reaches_anything(key: ApiKey, *, now: datetime) -> bool:
    """Tell whether a person's key can act anywhere."""
    if key.organisation is not None:
        return Permission.VIEW in permissions_in(Caller.by_key(key), key.organisation)
    if key.owner is not None and key.owner.is_superuser:
        return True
    return Membership.objects.live(now).filter(user=key.owner).exclude(organisation__in=key.ended_in).exists()


def end_with_account(keys: Iterable[ApiKey], *, now: datetime) -> None:
    """Revoke these keys of people whose accounts are closed."""
    for key in keys:
        revoke_key(key, by=SYSTEM, now=now, is_told=False)


def end_of_closed_accounts(*, now: datetime) -> None:
    """Revoke every key of somebody whose account is closed, or was closed since it was minted."""
    was_closed = Q(owner__is_active=False) | Q(owner__isnull=False, rests_since__isnull=False)
    end_with_account(ApiKey.objects.filter(was_closed, revoked_at=None).order_by("pk"), now=now)
