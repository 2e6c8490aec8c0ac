"""Change what members may: their roles, and whether they are members at all."""

from datetime import datetime

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.standing import lock_to_act
from audit.services import Actor, record
from environments.access import permissions_in
from environments.choices import Permission, Role, are_sensitive, permissions_of
from environments.departures import end_what_rested_on
from environments.models import ApiKey, KeyHolder, Membership, Organisation
from environments.policies import lock_policies


def grantable_roles(by: User | KeyHolder, organisation: Organisation) -> list[Role]:
    """Return the roles that ``by`` may give there: those with no more permissions than their own."""
    held = permissions_in(by, organisation)
    return [role for role in Role if Permission.MANAGE_MEMBERS in held and role.permissions <= held]


def check_may_grant(by: Actor | None, organisation: Organisation, roles: list[str]) -> None:
    """Raise ``ValidationError`` for no or unknown roles, ``PermissionDenied`` for one that may more than ``by`` may.

    None is the system itself, which may grant everything.
    """
    if not roles or set(roles) - set(Role.values):
        raise ValidationError({"roles": ValidationError(_("Choose at least one role."), code="invalid")})
    if by is None:
        return
    person = by.principal if isinstance(by, ApiKey) else by
    granted = grantable_roles(person, organisation) if isinstance(person, User | KeyHolder) else []
    if set(roles) - set(granted):
        raise PermissionDenied(_("You cannot give a role with more permissions than your own."))


def lock_to_grant(by: User, organisation: Organisation, roles: list[str]) -> None:
    """Lock whoever gives roles on their word until the transaction ends, so that no demotion comes in between.

    Judges their session again, too. Raises what ``check_may_grant`` and ``lock_to_act`` raise.
    """
    if not lock_to_act(by, is_fresh=are_sensitive(roles)).is_active:
        raise PermissionDenied(_("You cannot give a role with more permissions than your own."))
    check_may_grant(by, organisation, roles)


def check_may_manage(by: Actor | None, membership: Membership) -> None:
    """Raise ``PermissionDenied`` where ``by`` may less in the organisation than the member whom he would change."""
    if by is None:
        return
    person = by.principal if isinstance(by, ApiKey) else by
    held = permissions_in(person, membership.organisation) if isinstance(person, User | KeyHolder) else frozenset()
    if Permission.MANAGE_MEMBERS not in held or not permissions_of(membership.roles) <= held:
        raise PermissionDenied(_("This member has a role with more permissions than your own."))


@transaction.atomic
def change_roles(membership: Membership, *, roles: list[str], by: Actor | None, now: datetime) -> bool:
    """Replace the roles of a membership; returns whether that changed anything.

    Raises ``ValidationError`` for no roles, for the last Administrator of a root and for a membership that has ended,
    ``PermissionDenied`` where ``by`` may not grant one of the roles or may less than the member.
    """
    lock_policies()
    lock_to_act(membership.user, is_fresh=are_sensitive([*roles, *membership.roles]))
    if not is_there_still(membership):
        raise ValidationError(_("Somebody ended this membership meanwhile."), code="gone")
    check_may_manage(by, membership)
    check_may_grant(by, membership.organisation, roles)
    wanted = sorted(set(roles))
    if wanted == membership.roles:
        return False
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
    end_what_rested_on(membership, is_over=False, by=by, now=now)
    return True


@transaction.atomic
def remove_member(membership: Membership, *, by: Actor | None, now: datetime) -> None:
    """End a membership at once; one that somebody else ended meanwhile is no change.

    Raises ``ValidationError`` for the last Administrator of a root, ``PermissionDenied`` where ``by`` may less than the
    member. Everybody may leave.
    """
    lock_policies()
    lock_to_act(membership.user, is_fresh=are_sensitive(membership.roles))
    if not is_there_still(membership):
        return
    if by != membership.user:
        check_may_manage(by, membership)
    check_not_last_administrator(membership, now=now)
    membership.delete()
    record(
        "membership.removed",
        membership.organisation,
        by=by,
        subject=membership.user,
        before={"roles": membership.roles},
    )
    end_what_rested_on(membership, is_over=True, by=by, now=now)


def is_there_still(membership: Membership) -> bool:
    """Read a membership anew and tell whether there is one; inside ``lock_policies()`` it stays that way."""
    try:
        membership.refresh_from_db()
    except Membership.DoesNotExist:
        return False
    return True


def check_not_last_administrator(membership: Membership, *, now: datetime) -> None:
    """Raise ``ValidationError`` if the membership's root would be left without an active Administrator."""
    organisation = membership.organisation
    if organisation.depth > 1 or Role.ADMINISTRATOR not in membership.roles:
        return
    others = organisation.memberships.live(now).filter(roles__contains=[Role.ADMINISTRATOR], user__is_active=True)
    if not others.filter(expires_at=None).exclude(pk=membership.pk).exists():
        message = _("The last Administrator of %(name)s cannot be removed or demoted.")
        raise ValidationError(message % {"name": organisation.name}, code="last_administrator")
