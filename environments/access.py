"""Access to organisations: strangers get 404, members whose role is too low get 403.

Every page and API view of an organisation goes through ``reach`` or ``reachable``; only this module turns memberships
into permissions.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet, Value
from django.db.models.functions import Concat
from django.http import Http404, HttpResponseBase
from django.utils.translation import gettext as _

from accounts.models import User
from environments.caller import Caller
from environments.choices import CallerKind, Kind, Permission, permissions_of
from environments.models import Membership, Organisation, OrganisationQuerySet
from environments.requests import StudioRequest


class RoleTooLow(PermissionDenied):
    """Somebody is a member, but their roles do not have the permission."""

    def __init__(self) -> None:
        super().__init__(_("Your role does not allow this."))


@dataclass(frozen=True)
class Access:
    """An organisation that a caller has access to, and their permissions in it."""

    organisation: Organisation
    permissions: frozenset[Permission]

    def require(self, permission: Permission) -> None:
        """Raise ``PermissionDenied`` if the role lacks the permission."""
        if permission not in self.permissions:
            raise RoleTooLow


def permissions_in(caller: Caller, organisation: Organisation) -> frozenset[Permission]:
    """Return the caller's permissions in the organisation, from their roles there and on every node above it.

    A key has only permissions of its owner (of an organisation's own key: of the person responsible for it), in its
    organisation, by its roles, and not by memberships that ended since it was created. An impersonator has only those
    that the member has too, below the organisation where the impersonation began.
    """
    if caller.kind == CallerKind.SYSTEM:
        return frozenset(Permission)
    if caller.user is None or not _is_within(caller, organisation):
        return frozenset()
    if caller.kind == CallerKind.ORGANISATION_KEY and not caller.user.is_active:
        return frozenset()
    key = caller.key
    permissions = _permissions_of_user(caller.user, organisation, ended_in=key.ended_in if key is not None else [])
    if caller.impersonator is not None:
        permissions &= _permissions_of_user(caller.impersonator, organisation)
    if key is not None and (key.roles or caller.kind == CallerKind.ORGANISATION_KEY):
        permissions &= permissions_of(key.roles)
    return permissions


def _is_within(caller: Caller, organisation: Organisation) -> bool:
    return caller.below is None or organisation.path.startswith(caller.below.path)


def _permissions_of_user(
    user: User, organisation: Organisation, *, ended_in: Iterable[int] = ()
) -> frozenset[Permission]:
    if user.is_superuser:
        return frozenset(Permission)
    memberships = Membership.objects.live().filter(user=user, organisation__path__in=organisation.lineage)
    if ended_in:
        memberships = memberships.exclude(organisation__in=ended_in)
    roles = {role for granted in memberships.values_list("roles", flat=True) for role in granted}
    return permissions_of(roles)


def who_can(permission: Permission, organisation: Organisation) -> QuerySet[User]:
    """Return the people with this permission by a role in the organisation or above it; super users need a role too."""
    granted = Membership.objects.live().allowing(permission).filter(organisation__path__in=organisation.lineage)
    return User.objects.filter(pk__in=granted.values("user"), is_active=True).order_by("pk")


def reach(caller: Caller, slug: str, *, requires: Permission = Permission.VIEW) -> Access:
    """Return the organisation with this slug and the caller's permissions in it.

    Raises ``Http404`` both for a slug that does not exist and for a stranger, ``PermissionDenied`` for a member who
    lacks the permission ``requires`` and for a suspended organisation (super users still have access).
    """
    organisation = Organisation.objects.filter(slug=slug).order_by().first()
    # Query permissions in any case: the duration of the answer must not show whether the slug exists.
    permissions = permissions_in(caller, organisation or Organisation(path="0" * Organisation.steplen))
    if organisation is None or Permission.VIEW not in permissions:
        raise Http404
    if organisation.is_suspended and not caller.is_superuser:
        raise PermissionDenied(_("%(name)s is suspended.") % {"name": organisation.name})
    access = Access(organisation, permissions)
    access.require(requires)
    return access


def reachable(caller: Caller) -> OrganisationQuerySet:
    """Return every live organisation that the caller has access to, by a membership there or above it."""
    organisations = Organisation.objects.live()
    if caller.kind == CallerKind.SYSTEM:
        return organisations
    person, key = caller.user, caller.key
    if person is None or not person.is_active:
        return Organisation.objects.none()
    if caller.below is not None:
        organisations = organisations.below(caller.below)
    if person.is_superuser:
        return organisations
    granted = (
        Membership.objects.live()
        .alias(end=Concat("organisation__path", Value("~")))
        .filter(user=person, organisation__path__lte=OuterRef("path"), end__gt=OuterRef("path"))
    )
    if key is not None and key.ended_in:
        granted = granted.exclude(organisation__in=key.ended_in)
    return organisations.filter(Exists(granted))


def reachable_environments(caller: Caller) -> OrganisationQuerySet:
    return reachable(caller).filter(kind=Kind.ENVIRONMENT)


View = Callable[..., HttpResponseBase]


def in_organisation(
    *, requires: Permission = Permission.VIEW, kinds: Iterable[Kind] | None = None
) -> Callable[[View], View]:
    """Return a decorator that gives the view the ``Organisation`` in place of its ``slug`` argument, or refuses.

    Also sets ``request.organisation`` and ``request.permissions`` for the frame around the page. With ``kinds`` the
    page exists only for organisations of these kinds.
    """
    allowed = frozenset(kinds) if kinds is not None else None

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: StudioRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            access = reach(request.caller, slug, requires=requires)
            if allowed is not None and access.organisation.kind not in allowed:
                raise Http404
            request.organisation = access.organisation
            request.permissions = access.permissions
            return view(request, access.organisation, *args, **kwargs)

        return guarded

    return decorate


def in_environment(*, requires: Permission = Permission.VIEW) -> Callable[[View], View]:
    return in_organisation(requires=requires, kinds=[Kind.ENVIRONMENT])
