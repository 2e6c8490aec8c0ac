"""Which roles somebody can give, and giving them."""

from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.standing import lock_to_act
from audit.services import Actor
from environments.access import permissions_in
from environments.choices import Permission, Role, are_sensitive
from environments.models import ApiKey, KeyHolder, Organisation


class RoleAboveOwn(PermissionDenied):
    """Somebody gives a role with a permission that they do not have."""

    def __init__(self) -> None:
        super().__init__(_("You cannot give a role with more permissions than your own."))


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
        raise RoleAboveOwn


def lock_to_grant(by: User, organisation: Organisation, roles: list[str]) -> None:
    """Lock whoever gives roles on their word until the transaction ends, so that no demotion comes in between.

    Judges their session again, too. Raises what ``check_may_grant`` and ``lock_to_act`` raise.
    """
    if not lock_to_act(by, is_fresh=are_sensitive(roles)).is_active:
        raise RoleAboveOwn
    check_may_grant(by, organisation, roles)
