"""The one door to organisations: strangers get 404, members whose role is too low 403.

Every page and API view that shows something of an organisation comes in here, and nowhere else is membership turned
into permission.
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
        super().__init__(_("Your role here does not allow this."))


@dataclass(frozen=True)
class Access:
    """An organisation that a caller reached, and their permissions in it."""

    organisation: Organisation
    permissions: frozenset[Permission]

    def require(self, permission: Permission) -> None:
        """Raise ``PermissionDenied`` where the role is too low."""
        if permission not in self.permissions:
            raise RoleTooLow


def permissions_in(caller: Caller, organisation: Organisation) -> frozenset[Permission]:
    """Return the caller's permissions in the organisation, by roles there and on every node above it.

    A key narrows its owner's permissions to its organisation and its roles, and forgets memberships that have ended; an
    organisation's own key has none that whoever answers for it lacks. An impersonator has those that the member has
    too, below the organisation where the impersonation began.
    """
    if caller.kind == CallerKind.SYSTEM:
        return frozenset(Permission)
    if caller.user is None or not _is_within(caller, organisation):
        return frozenset()
    if caller.kind == CallerKind.ORGANISATION_KEY and not caller.user.is_active:
        return frozenset()
    key = caller.key
    held = _held(caller.user, organisation, ended_in=key.ended_in if key is not None else [])
    if caller.impersonator is not None:
        held &= _held(caller.impersonator, organisation)
    if key is not None and (key.roles or caller.kind == CallerKind.ORGANISATION_KEY):
        held &= permissions_of(key.roles)
    return held


def _is_within(caller: Caller, organisation: Organisation) -> bool:
    return caller.below is None or organisation.path.startswith(caller.below.path)


def _held(user: User, organisation: Organisation, *, ended_in: Iterable[int] = ()) -> frozenset[Permission]:
    if user.is_superuser:
        return frozenset(Permission)
    memberships = Membership.objects.live().filter(user=user, organisation__path__in=organisation.lineage)
    if ended_in:
        memberships = memberships.exclude(organisation__in=ended_in)
    roles = {role for granted in memberships.values_list("roles", flat=True) for role in granted}
    return permissions_of(roles)


def who_may(permission: Permission, organisation: Organisation) -> QuerySet[User]:
    """Return the people whose roles in the organisation, or above it, allow this; super users only if they have one."""
    granted = Membership.objects.live().allowing(permission).filter(organisation__path__in=organisation.lineage)
    return User.objects.filter(pk__in=granted.values("user"), is_active=True).order_by("pk")


def reach(caller: Caller, slug: str, *, requires: Permission = Permission.VIEW) -> Access:
    """Open the organisation with this slug to the caller.

    Raises ``Http404`` alike for a slug that does not exist and for a stranger, ``PermissionDenied`` for a member who
    lacks the permission ``requires`` and for a suspended organisation (super users still enter it).
    """
    organisation = Organisation.objects.filter(slug=slug).order_by().first()
    # Ask the second question in any case: how long the answer takes must not tell what exists.
    permissions = permissions_in(caller, organisation or Organisation(path="0" * Organisation.steplen))
    if organisation is None or Permission.VIEW not in permissions:
        raise Http404
    if organisation.is_suspended and not caller.is_superuser:
        raise PermissionDenied(_("%(name)s is suspended.") % {"name": organisation.name})
    access = Access(organisation, permissions)
    access.require(requires)
    return access


def reachable(caller: Caller) -> OrganisationQuerySet:
    """Return every live organisation that the caller reaches, directly or through one above it."""
    found = Organisation.objects.live()
    if caller.kind == CallerKind.SYSTEM:
        return found
    person, key = caller.user, caller.key
    if person is None or not person.is_active:
        return Organisation.objects.none()
    if caller.below is not None:
        found = found.below(caller.below)
    if person.is_superuser:
        return found
    granted = (
        Membership.objects.live()
        .alias(end=Concat("organisation__path", Value("~")))
        .filter(user=person, organisation__path__lte=OuterRef("path"), end__gt=OuterRef("path"))
    )
    if key is not None and key.ended_in:
        granted = granted.exclude(organisation__in=key.ended_in)
    return found.filter(Exists(granted))


def reachable_environments(caller: Caller) -> OrganisationQuerySet:
    return reachable(caller).filter(kind=Kind.ENVIRONMENT)


View = Callable[..., HttpResponseBase]


def in_organisation(
    *, requires: Permission = Permission.VIEW, kinds: Iterable[Kind] | None = None
) -> Callable[[View], View]:
    """Trade a page's ``slug`` argument for the ``Organisation``, or refuse.

    Also leaves ``request.organisation`` and ``request.permissions`` for the frame around the page. ``kinds`` narrows
    the page to some ranks; elsewhere it does not exist.
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
