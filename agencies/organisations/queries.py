"""What a move or a suspension changes below an organisation, and where it can be moved to."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat

from accounts.models import User
from archival.policy.previews import Preview, preview_change
from archival.policy.what_if import effects_of
from environments import roster
from environments.access import Access, sees_everything
from environments.choices import Kind, Permission
from environments.members.services import memberships_within
from environments.models import ApiKey, Membership, Organisation, OrganisationQuerySet
from environments.policies.mfa import COLUMNS, MfaRule
from environments.policies.retention import Retention

MOST_PLACES = 200  # that the page suggests; any other is found by its short name
MOST_ROWS = 50


@dataclass(frozen=True, slots=True)
class ChangedLimit:
    """An environment whose limit a move changes; None keeps everything."""

    name: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Move:
    """What a move changes: limits and what they delete, required MFA, and who has access by a role above."""

    preview: Preview | None  # None: to the root, which only loosens, and deletes nothing
    limits: list[ChangedLimit]  # the first of them, in the order of the tree
    limit_count: int
    requiring: int  # environments that begin to require MFA
    released: int  # environments that stop to require it
    lacking: int  # people who must then set up a second factor
    gaining: int  # people who get access by a role above
    losing: int  # people who lose it

    @property
    def deletes_at_once(self) -> bool:
        """Whether data would be deleted without a wait, where ``COOLING_OFF_HOURS`` is 0."""
        return self.preview is not None and self.preview.loses_something and not self.preview.waits


def what_moves(organisation: Organisation, to: Organisation | None, *, now: datetime) -> Move:
    """Return what moving the organisation below ``to``, or to the root, would change; reads only.

    Raises ``ValidationError`` if counting takes too long.
    """
    own = Retention.of(organisation)
    preview = preview_change(organisation, own, now, new_parent=to) if to is not None else None
    effects = preview.effects if preview is not None else effects_of(organisation, own, at_root=True)
    changed = {pk: effect for pk, effect in effects.items() if effect.before != effect.after}
    first = Organisation.objects.filter(pk__in=changed).order_by("path")[:MOST_ROWS]
    requiring, released = _mfa_changes(organisation, to)
    gaining, losing = _access_changes(organisation, to)
    return Move(
        preview=preview,
        limits=[ChangedLimit(each.name, changed[each.pk].before, changed[each.pk].after) for each in first],
        limit_count=len(changed),
        requiring=len(requiring),
        released=len(released),
        lacking=_lacking(organisation, to, requiring) if requiring and to is not None else 0,
        gaining=gaining,
        losing=losing,
    )


def _mfa_changes(organisation: Organisation, to: Organisation | None) -> tuple[list[int], list[int]]:
    """Return the ids of the environments that begin to require MFA, and of those that stop to; two queries."""
    chain = [MfaRule.of(node) for node in Organisation.objects.above(to)] if to is not None else []
    requiring: list[int] = []
    released: list[int] = []
    stack: list[tuple[str, MfaRule]] = []
    below = Organisation.objects.below(organisation).order_by("path")
    for pk, kind, path, before, *own in below.values_list("pk", "kind", "path", "effective_require_mfa", *COLUMNS):
        while stack and not path.startswith(stack[-1][0]):
            stack.pop()
        stack.append((path, MfaRule(*own)))
        after = MfaRule.resolve([*chain, *(each for _path, each in stack)]).is_on
        if kind == Kind.ENVIRONMENT and after != before:
            (requiring if after else released).append(pk)
    return requiring, released


def _lacking(organisation: Organisation, to: Organisation, requiring: list[int]) -> int:
    """Count the people who must set up a second factor: who reach these environments after the move."""
    place = OuterRef("organisation__path")
    reached = Organisation.objects.filter(pk__in=requiring, path__gte=place, path__lt=Concat(place, Value("~")))
    inside = memberships_within(organisation).filter(Exists(reached.order_by()))
    above = Membership.objects.filter(organisation__path__in=to.lineage)
    people = Q(pk__in=inside.live().values("user")) | Q(pk__in=above.live().values("user"))
    return roster.without_factor(roster.people_with(Membership.objects.live()).filter(people)).count()


def _access_changes(organisation: Organisation, to: Organisation | None) -> tuple[int, int]:
    """Count the people who get access by a role above after a move, and those who lose it."""
    before, after = set(organisation.lineage[:-1]), set(to.lineage) if to is not None else set()
    old, new = _people_at(before), _people_at(after)
    return new.exclude(pk__in=old.values("pk")).count(), old.exclude(pk__in=new.values("pk")).count()


def _people_at(paths: Iterable[str]) -> QuerySet[User]:
    memberships = Membership.objects.live().filter(organisation__path__in=list(paths))
    return User.objects.filter(pk__in=memberships.values("user"), is_active=True)


def places_for(access: Access) -> OrganisationQuerySet:
    """Return the live organisations below which the organisation of a page can be moved by its viewer, one query."""
    organisation = access.organisation
    kinds = [kind for kind in Kind if kind.rank < Kind(organisation.kind).rank]
    places = Organisation.objects.live().filter(kind__in=kinds).exclude(path=organisation.parent_path)
    if not sees_everything(access.caller):
        granted = Q(pk__in=[])
        for each in access.granted:
            if each.has(Permission.CREATE):
                granted |= Q(path__gte=each.path, path__lt=each.path + "~")
        places = places.filter(granted)
    found: OrganisationQuerySet = places.order_by("path")[:MOST_PLACES]
    return found


@dataclass(frozen=True, slots=True)
class Closing:
    """How much a suspension closes."""

    environments: int
    people: int  # with a membership there; others have access from above
    keys: int


def what_closes(organisation: Organisation) -> Closing:
    """Return what a suspension of the organisation closes; three queries."""
    below = Organisation.objects.below(organisation).order_by()
    keys = ApiKey.objects.filter(organisation__in=below, revoked_at=None)
    return Closing(
        environments=below.environments().count(),
        people=roster.people_with(memberships_within(organisation).live()).count(),
        keys=keys.count(),
    )
