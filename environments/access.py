"""Access to organisations: strangers get 404, members whose role is too low get 403.

Every page and API view of an organisation goes through ``reach``, ``reachable`` or ``all_reachable``; only this module
turns memberships into permissions.
"""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import PermissionDenied
from django.db.models import CharField, Exists, Func, OuterRef, QuerySet, Value
from django.db.models.functions import Concat
from django.http import Http404, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from environments.caller import Caller
from environments.choices import CallerKind, Kind, Permission, permissions_of
from environments.models import Membership, MembershipQuerySet, Organisation, OrganisationQuerySet
from environments.requests import StudioRequest
from web.among import Among


class RoleTooLow(PermissionDenied):
    """Somebody is a member, but their roles do not have the permission."""

    def __init__(self) -> None:
        super().__init__(_("Your role does not allow this."))


class Granted(NamedTuple):
    """A live membership of a person."""

    organisation_id: int
    path: str
    kind: str
    slug: str
    is_suspended: bool
    roles: list[str]

    def has(self, permission: Permission) -> bool:
        return permission in permissions_of(self.roles)


@dataclass(frozen=True)
class Access:
    """An organisation that a caller has access to, and their permissions in it.

    ``above`` is everything above it, the root first, also what the caller cannot see; ``granted`` are the memberships
    that count for the caller, wherever they are.
    """

    organisation: Organisation
    permissions: frozenset[Permission]
    caller: Caller
    above: list[Organisation]
    granted: list[Granted]

    def require(self, permission: Permission) -> None:
        """Raise ``PermissionDenied`` if the role lacks the permission."""
        if permission not in self.permissions:
            raise RoleTooLow

    def reaches(self, organisation: Organisation) -> bool:
        """Return whether the caller has access to another organisation, as ``reachable`` does; no query."""
        return is_reached(self.caller, organisation.path, self.granted, is_suspended=organisation.is_suspended)

    @property
    def permissions_above(self) -> frozenset[Permission]:
        """The caller's permissions right above the organisation; at a root, where only super users have any, theirs."""
        if self.above:
            return permissions_in(self.caller, self.above[-1], granted=self.granted)
        return frozenset(Permission) if self.caller.is_superuser else frozenset()

    @property
    def visible_above(self) -> list[Organisation]:
        """Those above it that the caller has access to, the uppermost first."""
        return [node for node in self.above if self.reaches(node)]

    def nearest(self, permission: Permission, *, kinds: Collection[Kind] = frozenset(Kind)) -> str | None:
        """Return the short name of the nearest organisation, rather than an environment, with this permission.

        That is this one or one above it; an environment itself where the caller has it nowhere above, if ``kinds`` has
        environments.
        """
        if self.caller.impersonator is None:
            for node in reversed([*self.visible_above, self.organisation]):
                has_it = permission in permissions_in(self.caller, node, granted=self.granted)
                if has_it and not node.is_environment:
                    return str(node.slug)
        has_it = permission in self.permissions and self.organisation.kind in kinds
        return str(self.organisation.slug) if has_it else None


def is_reached(caller: Caller, path: str, granted: Iterable[Granted], *, is_suspended: bool) -> bool:
    """Return whether the caller has access to an organisation with this path, by what was granted; no query."""
    if is_suspended or not _is_within(caller, path):
        return False
    return sees_everything(caller) or any(path.startswith(each.path) for each in granted)


def sees_everything(caller: Caller) -> bool:
    """Return whether the caller needs no membership; ``below`` can limit them all the same."""
    return caller.kind == CallerKind.SYSTEM or (caller.user is not None and caller.user.is_superuser)


def permissions_in(
    caller: Caller,
    organisation: Organisation,
    *,
    granted: Iterable[Granted] | None = None,
    granted_to_impersonator: Iterable[Granted] | None = None,
) -> frozenset[Permission]:
    """Return the caller's permissions in the organisation, from their roles there and on every node above it.

    A key has only permissions of its owner (of an organisation's own key: of the person responsible for it), in its
    organisation, by its roles, and not by memberships that ended since it was created. An impersonator has only those
    that the member has too, below the organisation where the impersonation began. ``granted`` is what ``granted_to``
    has just returned, where that was asked already, and ``granted_to_impersonator`` likewise.
    """
    if caller.kind == CallerKind.SYSTEM:
        return frozenset(Permission)
    if caller.user is None or not _is_within(caller, organisation.path):
        return frozenset()
    if caller.kind == CallerKind.ORGANISATION_KEY and not caller.user.is_active:
        return frozenset()
    key = caller.key
    permissions = _permissions_of_user(caller.user, organisation, granted_to(caller) if granted is None else granted)
    if caller.impersonator is not None:
        if granted_to_impersonator is None:
            granted_to_impersonator = granted_to(Caller.of(caller.impersonator))
        permissions &= _permissions_of_user(caller.impersonator, organisation, granted_to_impersonator)
    if key is not None and (key.roles or caller.kind == CallerKind.ORGANISATION_KEY):
        permissions &= permissions_of(key.roles)
    return permissions


def granted_to(caller: Caller) -> list[Granted]:
    """Return the live memberships that count for the caller, the uppermost first; one query, none for super users.

    Those that ended since a key was created do not count for it.
    """
    if caller.user is None or caller.user.is_superuser:
        return []
    memberships = Membership.objects.live().filter(user=caller.user)
    if caller.key is not None and caller.key.ended_in:
        memberships = memberships.exclude(organisation__in=caller.key.ended_in)
    columns = (f"organisation__{name}" for name in ("path", "kind", "slug", "is_suspended"))
    rows = memberships.order_by("organisation__depth", "organisation__path")
    return [Granted(*row) for row in rows.values_list("organisation_id", *columns, "roles")]


def _is_within(caller: Caller, path: str) -> bool:
    return caller.below is None or path.startswith(caller.below.path)


def _permissions_of_user(user: User, organisation: Organisation, granted: Iterable[Granted]) -> frozenset[Permission]:
    if user.is_superuser:
        return frozenset(Permission)
    roles = {role for each in granted if organisation.path.startswith(each.path) for role in each.roles}
    return permissions_of(roles)


def who_can(permission: Permission, organisation: Organisation) -> QuerySet[User]:
    """Return the people with this permission by a role in the organisation or above it; super users need a role too."""
    granted = Membership.objects.live().allowing(permission).filter(organisation__path__in=organisation.lineage)
    return User.objects.filter(pk__in=granted.values("user"), is_active=True).order_by("pk")


def reach(caller: Caller, slug: str, *, requires: Permission = Permission.VIEW) -> Access:
    """Return the organisation with this slug and the caller's permissions in it.

    Raises ``Http404`` both for a slug that does not exist and for a stranger, ``PermissionDenied`` for a member who
    lacks the permission ``requires`` and for a suspended organisation (super users still have access). One query.
    """
    nodes = list(_with_those_above(slug, caller))
    if not nodes:
        raise Http404
    *above, organisation = nodes
    granted = [Granted(*each) for each in json.loads(organisation.granted or "[]")]
    permissions = permissions_in(caller, organisation, granted=granted)
    if Permission.VIEW not in permissions:
        raise Http404
    if organisation.is_suspended and not caller.is_superuser:
        raise PermissionDenied(_("%(name)s is suspended.") % {"name": organisation.name})
    access = Access(organisation, permissions, caller, above, granted)
    access.require(requires)
    return access


# Raw SQL, because every page begins with it: compiling it from the ORM would cost more than running it.
_WITH_THOSE_ABOVE = """
WITH granted AS (
    SELECT o.id, o.path, o.depth, o.kind, o.slug, o.is_suspended, m.roles
    FROM environments_membership m JOIN environments_organisation o ON o.id = m.organisation_id
    WHERE m.user_id = %(user)s AND m.accepted_at IS NOT NULL AND (m.expires_at IS NULL OR m.expires_at > %(now)s)
        AND m.organisation_id <> ALL(%(ended_in)s)
), here AS (
    SELECT path FROM environments_organisation o WHERE slug = %(slug)s
        AND (%(sees_everything)s OR EXISTS (SELECT FROM granted WHERE starts_with(o.path, granted.path)))
)
SELECT *, CASE WHEN slug = %(slug)s THEN (
    SELECT jsonb_agg(jsonb_build_array(id, path, kind, slug, is_suspended, roles) ORDER BY depth, path) FROM granted
) END AS granted
FROM environments_organisation
WHERE path = ANY (ARRAY(SELECT substr(path, 1, generate_series(%(step)s, length(path), %(step)s)) FROM here))
ORDER BY path
"""


def _with_those_above(slug: str, caller: Caller) -> Iterable[Any]:
    """Return the organisation with this slug and everything above it, the root first; nothing for strangers.

    The query finds nothing for strangers, so that its duration does not show whether the slug exists. The organisation
    has, as ``granted``, what ``granted_to`` returns, as JSON; or None where that is nothing.
    """
    sees_all = sees_everything(caller)
    if caller.user is None and not sees_all:
        return []
    params = {
        "slug": slug,
        "user": None if sees_all or caller.user is None else caller.user.pk,
        "ended_in": caller.key.ended_in if caller.key else [],
        "sees_everything": sees_all,
        "now": timezone.now(),
        "step": Organisation.steplen,
    }
    return Organisation.objects.raw(_WITH_THOSE_ABOVE, params)


def reachable(caller: Caller) -> OrganisationQuerySet:
    """Return every live organisation that the caller has access to, by a membership there or above it.

    It asks for the memberships again for each organisation: for some organisations among those of a caller.
    """
    found, granted = _reachable_and_granted(caller)
    if granted is None:
        return found
    reaching = granted.alias(end=Concat("organisation__path", Value("~")))
    return found.filter(Exists(reaching.filter(organisation__path__lte=OuterRef("path"), end__gt=OuterRef("path"))))


def all_reachable(caller: Caller) -> OrganisationQuerySet:
    """Return the same as ``reachable``, for lists of all: it finds what is below each membership by the index."""
    found, granted = _reachable_and_granted(caller)
    if granted is None:
        return found
    start = OuterRef("organisation__path")
    below = found.order_by().filter(path__gte=start, path__lt=Concat(start, Value("~")))
    each = Func(ArraySubquery(below.values("path")), function="unnest", output_field=CharField())
    return Organisation.objects.filter(Among("path", granted.order_by().values_list(each)))


def _reachable_and_granted(caller: Caller) -> tuple[OrganisationQuerySet, MembershipQuerySet | None]:
    """Return what a caller has access to at most, and the memberships that give it; None if they need none."""
    organisations = Organisation.objects.live()
    if caller.kind == CallerKind.SYSTEM:
        return organisations, None
    person, key = caller.user, caller.key
    if person is None or not person.is_active:
        return Organisation.objects.none(), None
    if caller.below is not None:
        organisations = organisations.below(caller.below)
    if person.is_superuser:
        return organisations, None
    granted = Membership.objects.live().filter(user=person)
    if key is not None and key.ended_in:
        granted = granted.exclude(organisation__in=key.ended_in)
    return organisations, granted


def reachable_environments(caller: Caller) -> OrganisationQuerySet:
    return all_reachable(caller).filter(kind=Kind.ENVIRONMENT)


def access_of(request: Any) -> Access | None:
    """Return the access that let this request in, on pages of an organisation."""
    access: Access | None = getattr(request, "access", None)
    return access


View = Callable[..., HttpResponseBase]


def in_organisation(
    *, requires: Permission = Permission.VIEW, kinds: Iterable[Kind] | None = None
) -> Callable[[View], View]:
    """Return a decorator that gives the view the ``Organisation`` in place of its ``slug`` argument, or refuses.

    Who opens a page at a short name that an organisation of theirs had before is redirected to the one that it has.

    Also sets ``request.access``, with its organisation and permissions, for the frame around the page, and around the
    refusal of a member. With ``kinds`` the page exists only for organisations of these kinds.
    """
    allowed = frozenset(kinds) if kinds is not None else None

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: StudioRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                access = reach(request.caller, slug)
            except Http404:
                if address := _address_since_renamed(request, slug):
                    return HttpResponseRedirect(address)
                raise
            if allowed is not None and access.organisation.kind not in allowed:
                raise Http404
            request.access = access
            request.organisation = access.organisation
            request.permissions = access.permissions
            access.require(requires)
            return view(request, access.organisation, *args, **kwargs)

        return guarded

    return decorate


def _address_since_renamed(request: StudioRequest, slug: str) -> str | None:
    """Return the address of the same page of the organisation that had this short name, if the caller has access to it.

    Not for what a form sends: whoever sent it has not seen the new address.
    """
    match = request.resolver_match
    if request.method not in {"GET", "HEAD"} or match is None:
        return None
    slugs = reachable(request.caller).filter(reserved_slugs__slug=slug).values_list("slug", flat=True)
    if (found := slugs.first()) is None:
        return None
    address = reverse(match.view_name, args=match.args, kwargs={**match.kwargs, "slug": found})
    query = request.META.get("QUERY_STRING", "")
    return f"{address}?{query}" if query else address


def in_environment(*, requires: Permission = Permission.VIEW) -> Callable[[View], View]:
    return in_organisation(requires=requires, kinds=[Kind.ENVIRONMENT])
