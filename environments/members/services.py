"""Change the roles of members, and end memberships."""

from datetime import datetime

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.standing import lock_to_act
from audit.services import record
from environments.access import permissions_in
from environments.audit_log.versions import check_version
from environments.caller import Caller
from environments.choices import Permission, Role, are_sensitive, permissions_of
from environments.granting import check_can_grant
from environments.memberships import end_what_depended_on_membership
from environments.models import Membership
from environments.policies.resolve import lock_policies


def check_can_manage(by: Caller, membership: Membership) -> None:
    """Raise ``PermissionDenied`` if the member has permissions in the organisation that ``by`` lacks."""
    held = permissions_in(by, membership.organisation)
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
    if not reload_if_it_exists(membership):
        raise ValidationError(_("Somebody has already removed this member."), code="gone")
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
    end_what_depended_on_membership(membership, is_over=False, by=by, now=now)
    return True


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
    membership.delete()
    record(
        "membership.removed",
        membership.organisation,
        by=by,
        subject=membership.user,
        before={"roles": membership.roles},
    )
    end_what_depended_on_membership(membership, is_over=True, by=by, now=now)


def check_can_remove(membership: Membership, *, by: Caller, now: datetime) -> None:
    """Raise the errors of ``remove_member``."""
    if by.person != membership.user:
        check_can_manage(by, membership)
    check_not_last_administrator(membership, now=now)


def reload_if_it_exists(membership: Membership) -> bool:
    """Reload a membership and return whether it still exists; inside ``lock_policies()`` it stays that way."""
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
