"""Query the people with memberships at or below an organisation, and what one of them has there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db.models import Case, Count, F, IntegerField, Min, OuterRef, Q, QuerySet, Subquery, Value, When, Window
from django.db.models.functions import Cast, Coalesce, Collate, Concat, Length, RowNumber, Substr
from django.db.models.lookups import In

from accounts.models import User
from agencies.users.choices import Factor, LogIn, Order
from environments import roster
from environments.choices import Kind, labels_of
from environments.members.services import memberships_within
from environments.models import Membership, MembershipQuerySet, Organisation
from web.addresses import as_kept
from web.among import Among, LookedUp
from web.paging import CountOf

AT_ONCE = 500  # rows of a file
SHOWN = 3  # memberships of a person on a page of the list


@dataclass(frozen=True, slots=True)
class Place:
    """A membership: where it is, with the name of the organisation above if that is inside too, and its roles."""

    name: str
    slug: str
    above: str
    roles: list[str]

    def __str__(self) -> str:
        where = f"{self.above} › {self.name}" if self.above else self.name
        return f"{where}: {', '.join(self.roles)}"


@dataclass(slots=True)
class UserRow:
    """A person with their first memberships at or below the organisation, in the order of the tree."""

    user: Any  # a ``User`` with what ``people_matching`` adds
    count: int = 0  # of all their memberships there
    places: list[Place] = field(default_factory=list)

    @property
    def more(self) -> int:
        """How many memberships are left out."""
        return self.count - len(self.places)


def live_within(organisation: Organisation) -> MembershipQuerySet:
    """Return the live memberships of the organisation and of everything below it."""
    return memberships_within(organisation).live()


def people_within(organisation: Organisation) -> QuerySet[User]:
    """Return the people with a live membership at or below the organisation, with how they log in."""
    return roster.people_with(live_within(organisation))


def people_matching(organisation: Organisation, asked: dict[str, Any]) -> QuerySet[User]:
    """Return the people at or below the organisation that the filter asks for, in its order.

    ``asked`` has the valid values of ``UserFilterForm``. Adds ``lacking_count``: how many people in all, also those
    that the filter leaves out, must still set up a second factor.
    """
    people = people_within(organisation)
    lacking = roster.without_factor(people).values("pk")
    if words := asked.get("q"):
        people = people.filter(Q(name__icontains=words) | Q(email__icontains=as_kept(words)))
    if role := asked.get("role"):
        granted = live_within(organisation).filter(roles__contains=[role])
        people = people.filter(Among("pk", granted.values("user")))
    if by := asked.get("by"):
        people = people.filter(LogIn(by).condition)
    if mfa := asked.get("mfa"):
        people = people.filter(Factor(mfa).condition)
    return _ordered(people, organisation, asked.get("sort") or "").annotate(lacking_count=CountOf(lacking))


def _ordered(people: QuerySet[User], organisation: Organisation, order: str) -> QuerySet[User]:
    here = live_within(organisation).order_by().values("user")
    first, count = here.annotate(Min("organisation__path")), here.annotate(Count("pk"))
    orders: dict[str, list[Any]] = {
        Order.NAME: ["name"],
        Order.PLACE: [Collate(LookedUp("pk", first), "C")],
        Order.MOST: [Cast(LookedUp("pk", count), IntegerField()).desc()],
        Order.LATEST: [F("last_active_at").desc(nulls_last=True)],
        Order.LONGEST_AGO: [F("last_active_at").asc(nulls_first=True)],
    }
    return people.order_by(*orders.get(order, []), "email", "pk")


def user_rows(people: Iterable[User], organisation: Organisation, *, at_most: int | None = SHOWN) -> list[UserRow]:
    """Return people as rows, in their order, each with at most so many memberships; two queries for any number."""
    rows = {user.pk: UserRow(user) for user in people}
    found = _first_memberships(rows, organisation, at_most)
    names = _names_above({path for _user, path, *_rest in found}, organisation)
    for user, path, name, slug, roles, count in found:
        rows[user].count = count
        above = names.get(path[: -Organisation.steplen], "")
        rows[user].places.append(Place(name, slug, above, labels_of(roles)))
    return list(rows.values())


def _first_memberships(users: Iterable[int], organisation: Organisation, at_most: int | None) -> list[Any]:
    within: Any = live_within(organisation).filter(user__in=list(users))
    ranked = within.annotate(
        number=Window(RowNumber(), partition_by="user", order_by="organisation__path"),
        all_count=Window(Count("pk"), partition_by="user"),
    )
    if at_most is not None:
        ranked = ranked.filter(number__lte=at_most)
    columns = (f"organisation__{name}" for name in ("path", "name", "slug"))
    return list(ranked.order_by("user", "number").values_list("user", *columns, "roles", "all_count"))


def _names_above(paths: set[str], organisation: Organisation) -> dict[str, str]:
    """Return the names of the parents of these paths, by their paths, as far as they are below the organisation."""
    parents = {path[: -Organisation.steplen] for path in paths}
    inside = [path for path in parents if path.startswith(organisation.path) and path != organisation.path]
    return dict(Organisation.objects.filter(path__in=inside).values_list("path", "name")) if inside else {}


def all_rows(found: QuerySet[User], organisation: Organisation) -> Iterator[UserRow]:
    """Yield everybody of ``people_matching`` as a row with all their memberships, for a file."""
    people = found.iterator(chunk_size=AT_ONCE)
    while some := list(islice(people, AT_ONCE)):
        yield from user_rows(some, organisation, at_most=None)


def reached_environments(user: User, organisation: Organisation) -> CountOf:
    """Return how many environments below the organisation ``user`` has access to, as a column of another query.

    ``reachable`` finds the same; this reads each environment once, however many memberships the person has.
    """
    paths = Membership.objects.live().filter(user=user).values("organisation__path")
    lengths = range(Organisation.steplen, Organisation.steplen * len(Kind) + 1, Organisation.steplen)
    is_reached = Q()
    for length in lengths:  # the beginnings of a path are those of everything above
        is_reached |= Q(In(Substr("path", 1, length), paths))
    environments = Organisation.objects.below(organisation).live().environments()
    return CountOf(environments.filter(is_reached).values("pk"))


def memberships_of(user: User, organisation: Organisation) -> MembershipQuerySet:
    """Return the memberships of ``user`` at or below the organisation, also those that are not live.

    They are in the order of the tree. Adds ``environment_count``, the environments that each applies to,
    ``parent_name``, empty at the organisation itself, and ``reached_count``, the same in all rows.
    """
    path = OuterRef("organisation__path")
    below = Organisation.objects.environments().filter(path__gte=path, path__lt=Concat(path, Value("~")))
    parent = Substr(path, 1, Length(path) - Organisation.steplen)
    parents = Organisation.objects.below(organisation).filter(path=parent)
    found: MembershipQuerySet = memberships_within(organisation).filter(user=user)
    return found.annotate(
        environment_count=Case(
            When(organisation__kind=Kind.ENVIRONMENT, then=1), default=CountOf(below), output_field=IntegerField()
        ),
        parent_name=Coalesce(Subquery(parents.order_by().values("name")), Value("")),
        reached_count=reached_environments(user, organisation),
    ).order_by("organisation__path")
