"""Change the roles of members and the end of their memberships, and end memberships."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import mail
from accounts.models import User
from accounts.standing import lock_person, lock_to_act
from audit.services import record
from environments.access import Granted, granted_to, permissions_in
from environments.audit_log.versions import check_version
from environments.caller import SYSTEM, Caller
from environments.choices import Permission, Role, are_sensitive, permissions_of
from environments.granting import check_can_grant
from environments.memberships import check_end, end_what_depended_on_roles
from environments.models import Membership, MembershipQuerySet, Organisation
from environments.policies.resolve import lock_policies
from web.alone import set_aside


def check_can_manage(by: Caller, membership: Membership, *, granted: list[Granted] | None = None) -> None:
    """Raise ``PermissionDenied`` if the member has permissions in the organisation that ``by`` lacks.

    ``granted`` is what ``granted_to(by)`` has just returned, where that was asked already.
    """
    held = permissions_in(by, membership.organisation, granted=granted)
    if Permission.MANAGE_MEMBERS not in held or not permissions_of(membership.roles) <= held:
        raise PermissionDenied(_("This member has a role with more permissions than your own."))


@transaction.atomic
def change_roles(
    membership: Membership, *, roles: list[str], by: Caller, now: datetime, seen: str | None = None
) -> bool:
    """Replace the roles of a membership; returns whether anything changed.

    Raises ``ValidationError`` for no roles, for the last Administrator of a root and for a membership that has ended,
    ``PermissionDenied`` if ``by`` cannot give one of the roles, or lacks permissions of the member, and
    ``ChangedMeanwhile`` if the roles are not those whose version is ``seen``.
    """
    lock_policies()
    lock_to_act(membership.user, is_fresh=are_sensitive([*roles, *membership.roles]))
    check_has_not_ended(membership, now=now)
    check_can_manage(by, membership)
    check_can_grant(by, membership.organisation, roles)
    wanted = sorted(set(roles))
    if wanted == membership.roles:
        return False
    check_version(seen, membership.roles, membership.organisation, "membership.", subject=membership.user)
    if Role.ADMINISTRATOR not in wanted:
        check_not_last_administrator(membership, now=now)
    before, membership.roles = membership.roles, wanted
    membership.save(update_fields=["roles"])
    record(
        "membership.changed",
        membership.organisation,
        by=by,
        subject=membership.user,
        before={"roles": before},
        after={"roles": wanted},
    )
    end_what_depended_on_roles(membership.user, by=by, now=now)
    return True


@transaction.atomic
def change_end(
    membership: Membership, *, until: datetime | None, by: Caller, now: datetime, seen: str | None = None
) -> bool:
    """Set when a membership ends, or with None that it does not; returns whether anything changed.

    Raises ``ValidationError`` for an end in the past, for the last Administrator of a root who has none, and for a
    membership that has ended, ``PermissionDenied`` if ``by`` lacks permissions of the member or would prolong their own
    membership, and ``ChangedMeanwhile`` if the end is not the one whose version is ``seen``.
    """
    lock_policies()
    lock_to_act(membership.user, is_fresh=are_sensitive(membership.roles))
    check_has_not_ended(membership, now=now)
    check_can_manage(by, membership)
    check_end(until, now=now)
    before = membership.expires_at
    if until == before:
        return False
    check_version(seen, before, membership.organisation, "membership.", subject=membership.user)
    if by.person == membership.user and is_later(until, than=before):
        raise PermissionDenied(_("You cannot prolong your own membership. Ask somebody else who manages members."))
    if until is not None and before is None and is_last_administrator(membership, now=now):
        message = _("%(name)s needs an Administrator without an end date, and has no other one.")
        raise ValidationError(message % {"name": membership.organisation.name}, code="last_administrator")
    membership.expires_at, membership.end_mailed_at = until, None
    membership.save(update_fields=["expires_at", "end_mailed_at"])
    place, person = membership.organisation, membership.user
    record(
        "membership.end_changed",
        place,
        by=by,
        subject=person,
        before={"expires_at": before},
        after={"expires_at": until},
    )
    return True


def is_later(end: datetime | None, *, than: datetime | None) -> bool:
    """Return whether an end is later than another; None is no end, and later than each."""
    return than is not None and (end is None or end > than)


@transaction.atomic
def remove_member(membership: Membership, *, by: Caller, now: datetime) -> None:
    """End a membership at once; does nothing if it has ended meanwhile. Members can remove themselves.

    Raises ``ValidationError`` for the last Administrator of a root, ``PermissionDenied`` if ``by`` lacks permissions of
    the member.
    """
    lock_policies()
    lock_to_act(membership.user, is_fresh=are_sensitive(membership.roles))
    if not reload_if_it_exists(membership):
        return
    check_can_remove(membership, by=by, now=now)
    _delete(membership, by=by)
    end_what_depended_on_roles(membership.user, ended_in=[membership.organisation], by=by, now=now)


@transaction.atomic
def remove_user(
    user: User, organisation: Organisation, *, by: Caller, now: datetime, seen: str | None = None
) -> list[Membership]:
    """End every membership of ``user`` in the organisation and below it, and return them; all of them or none.

    Has an event for each, and one mail to ``user`` about all, unless it is ``by``. Raises the errors of
    ``remove_member`` for the first membership that cannot be removed, and ``ChangedMeanwhile`` if the memberships are
    not those whose version is ``seen``.
    """
    lock_policies()
    memberships = list(memberships_within(organisation).filter(user=user).order_by("organisation__path"))
    lock_to_act(user, is_fresh=are_sensitive(roles_of(memberships)))
    check_version(seen, state_of_memberships(memberships), organisation, "membership.", subject=user)
    check_can_remove_all(memberships, by=by, now=now)
    for membership in memberships:
        _delete(membership, by=by)
    if places := [membership.organisation for membership in memberships]:
        is_other = by.person != user
        end_what_depended_on_roles(user, ended_in=places, by=by, now=now, mails_person=not is_other)
        if is_other:
            mail.send(
                user, "access_removed", {"organisation": organisation, "places": places, "by": str(by), "at": now}
            )
    return memberships


def _delete(membership: Membership, *, by: Caller) -> None:
    Membership.objects.filter(pk=membership.pk).delete()
    action = "membership.left" if by.person == membership.user else "membership.removed"
    before = {"roles": membership.roles}
    record(action, membership.organisation, by=by, subject=membership.user, before=before)


def memberships_within(organisation: Organisation) -> MembershipQuerySet:
    """Return the memberships of the organisation and of everything below it, also those that are not live."""
    within = Membership.objects.filter(
        organisation__path__gte=organisation.path, organisation__path__lt=organisation.path + "~"
    )
    return within.select_related("organisation", "user")


def roles_of(memberships: Iterable[Membership]) -> set[str]:
    return {role for membership in memberships for role in membership.roles}


def state_of_memberships(memberships: Iterable[Membership]) -> list[list[Any]]:
    """Return what ``remove_user`` compares with ``seen``: which memberships there are, and their roles."""
    return sorted([membership.pk, membership.roles] for membership in memberships)


def check_can_remove(membership: Membership, *, by: Caller, now: datetime) -> None:
    """Raise the errors of ``remove_member``."""
    check_can_remove_all([membership], by=by, now=now)


def check_can_remove_all(memberships: Sequence[Membership], *, by: Caller, now: datetime) -> None:
    """Raise the errors of ``remove_member`` for the first of these memberships that cannot be removed.

    Costs the same number of queries for any number.
    """
    granted = granted_to(by)
    for membership in memberships:
        if by.person != membership.user:
            check_can_manage(by, membership, granted=granted)
        check_not_last_administrator(membership, now=now)


def end_expired_memberships(*, now: datetime) -> int:
    """Remove memberships that have expired, as ``remove_member`` does, each for itself; returns how many."""
    expired = Membership.objects.filter(expires_at__lte=now).select_related("user", "organisation")
    ended = 0
    for membership in expired.order_by("pk"):
        with set_aside(f"The membership {membership.pk} that has expired"):
            ended += end_expired_membership(membership, now=now)
    return ended


@transaction.atomic
def end_expired_membership(membership: Membership, *, now: datetime) -> bool:
    """Remove a membership that has expired, with what depended on it; False if it ended or was prolonged meanwhile."""
    lock_policies()
    lock_person(membership.user)
    if not reload_if_it_exists(membership) or membership.expires_at is None or membership.expires_at > now:
        return False
    before = {"roles": membership.roles, "expires_at": membership.expires_at}
    membership.delete()
    record("membership.expired", membership.organisation, by=None, subject=membership.user, before=before)
    end_what_depended_on_roles(membership.user, ended_in=[membership.organisation], by=SYSTEM, now=now)
    return True


def check_has_not_ended(membership: Membership, *, now: datetime) -> None:
    """Reload a membership. Raises ``ValidationError`` if it was removed or has expired."""
    if not reload_if_it_exists(membership):
        raise ValidationError(_("Somebody has already removed this member."), code="gone")
    if membership.expires_at is not None and membership.expires_at <= now:
        raise ValidationError(_("This membership has ended. Invite them again."), code="gone")


def reload_if_it_exists(membership: Membership) -> bool:
    """Reload a membership and return whether it still exists; inside ``lock_policies()`` it stays that way."""
    try:
        membership.refresh_from_db()
    except Membership.DoesNotExist:
        return False
    return True


def check_not_last_administrator(membership: Membership, *, now: datetime) -> None:
    """Raise ``ValidationError`` if the membership's root would be left without an active Administrator."""
    if is_last_administrator(membership, now=now):
        message = _("The last Administrator of %(name)s cannot be removed or demoted.")
        raise ValidationError(message % {"name": membership.organisation.name}, code="last_administrator")


def is_last_administrator(membership: Membership, *, now: datetime) -> bool:
    """Return whether no other active person is an Administrator, without an end date, of the membership's root."""
    organisation = membership.organisation
    if organisation.depth > 1 or Role.ADMINISTRATOR not in membership.roles:
        return False
    others = organisation.memberships.live(now).filter(roles__contains=[Role.ADMINISTRATOR], user__is_active=True)
    return not others.filter(expires_at=None).exclude(pk=membership.pk).exists()
