"""Check which roles a caller can give."""

from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.translation import gettext as _

from accounts.standing import lock_to_act
from environments.access import permissions_in
from environments.caller import Caller
from environments.choices import Permission, Role, are_sensitive
from environments.models import Organisation


class RoleAboveOwn(PermissionDenied):
    """A caller gives a role with a permission that they do not have."""

    def __init__(self) -> None:
        super().__init__(_("You cannot give a role with more permissions than your own."))


def grantable_roles(by: Caller, organisation: Organisation) -> list[Role]:
    """Return the roles that ``by`` can give there: those with no more permissions than their own."""
    return roles_within(permissions_in(by, organisation))


def roles_within(held: frozenset[Permission]) -> list[Role]:
    """Return the roles that somebody with these permissions can give."""
    return [role for role in Role if Permission.MANAGE_MEMBERS in held and role.permissions <= held]


def check_can_grant(by: Caller, organisation: Organisation, roles: list[str]) -> None:
    """Raise ``ValidationError`` for no or unknown roles, ``PermissionDenied`` for one that ``by`` cannot give."""
    if not roles or set(roles) - set(Role.values):
        raise ValidationError({"roles": ValidationError(_("Choose at least one role."), code="invalid")})
    if set(roles) - set(grantable_roles(by, organisation)):
        raise RoleAboveOwn


def lock_to_grant(by: Caller, organisation: Organisation, roles: list[str]) -> None:
    """Lock the person who gives roles until the transaction ends, so that they cannot be demoted in between.

    Checks their session again, too. Raises the errors of ``check_can_grant`` and ``lock_to_act``, and
    ``PermissionDenied`` if ``by`` is not a person who acts in their own name.
    """
    if not lock_to_act(by.require_person(), is_fresh=are_sensitive(roles)).is_active:
        raise RoleAboveOwn
    check_can_grant(by, organisation, roles)
