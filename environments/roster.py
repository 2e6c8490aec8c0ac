"""Everybody with access to an organisation: its own members and those of organisations above, and how they log in."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Count, Exists, Func, Max, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Concat
from django_otp_webauthn.models import WebAuthnCredential
from social_django.models import UserSocialAuth

from accounts.models import TotpDevice, User
from accounts.throttle.queries import Slowed, slowed_people
from environments.access import reachable
from environments.caller import Caller
from environments.choices import CallerKind, Role, labels_of
from environments.models import ApiKey, Membership, MembershipQuerySet, Organisation
from web.among import Among
from web.paging import CountOf


@dataclass(frozen=True, slots=True)
class Grant:
    """Roles on the organisation or on one above it; ``origin``, its name, is None where the viewer cannot see it."""

    membership: Membership
    roles: list[str]
    is_own: bool
    origin: str | None


@dataclass(slots=True)
class Person:
    user: User
    grants: list[Grant] = field(default_factory=list)
    slowed: list[Slowed] = field(default_factory=list)  # their ways to log in that are slowed now

    @property
    def own(self) -> Grant | None:
        return next((grant for grant in self.grants if grant.is_own), None)


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of people by what a required second factor means to them; the first three add up to ``all``."""

    ready: int  # have a second factor
    by_sso: int  # have none, and log in only through a provider
    lacking: int  # must set one up
    resting_keys: int  # keys that work now, of those who must set one up
    with_password: int  # how they can log in: a person can have several ways, or none yet
    with_sso: int
    with_passkey: int

    @property
    def all(self) -> int:
        return self.ready + self.by_sso + self.lacking


HAS_FACTOR = Q(has_app=True) | Q(has_passkey=True)
LACKS_FACTOR = Q(has_app=False) & Q(has_passkey=False) & (Q(has_password=True) | Q(has_sso=False))


def people_of(organisation: Organisation) -> QuerySet[User]:
    """Return everybody with access to the organisation by a live membership, with how they log in.

    Adds ``has_app``, ``has_passkey``, ``has_sso`` and ``has_password``.
    """
    chain = Organisation.objects.above(organisation).order_by()
    return people_with(Membership.objects.live().filter(Among("organisation", chain.values("pk"))))


def memberships_around(organisation: Organisation) -> MembershipQuerySet:
    """Return the live memberships at, above and below the organisation."""
    above, below = Organisation.objects.above(organisation), Organisation.objects.below(organisation)
    places = (Among("organisation", each.order_by().values("pk")) for each in (above, below))
    found: MembershipQuerySet = Membership.objects.live().filter(reduce(or_, map(Q, places)))
    return found


def member_counts(organisation: Organisation) -> tuple[int, int]:
    """Return how many people are members of the organisation itself, and how many others have access from above."""
    here = Organisation.objects.filter(pk=organisation.pk).annotate(**member_count_columns(organisation))
    own_count, above_count = here.values_list("own_count", "above_count").get()
    return own_count, above_count


def member_count_columns(organisation: Organisation) -> dict[str, CountOf]:
    """Return ``own_count`` and ``above_count``, as ``member_counts`` returns them, as columns of another query."""
    chain = Organisation.objects.above(organisation).order_by()
    people = Membership.objects.live().filter(Among("organisation", chain.values("pk")), user__is_active=True)
    own = people.filter(organisation=organisation)
    others = people.exclude(user__in=own.values("user"))
    return {"own_count": CountOf(own.values("pk")), "above_count": CountOf(others.values("user").distinct())}


def count_people(people: QuerySet[User], *, now: datetime) -> Counts:
    """Count people by what a required factor means to them, and by how they log in; one query."""
    keys = working_keys_of(without_factor(people), now=now).values(n=Func("pk", function="COUNT"))
    counted = people.annotate(resting=Subquery(keys)).aggregate(  # the same number for each, counted once
        everybody=Count("pk"),
        ready=Count("pk", filter=HAS_FACTOR),
        lacking=Count("pk", filter=LACKS_FACTOR),
        resting_keys=Max("resting", default=0),
        with_password=Count("pk", filter=Q(has_password=True)),
        with_sso=Count("pk", filter=Q(has_sso=True)),
        with_passkey=Count("pk", filter=Q(has_passkey=True)),
    )
    everybody = counted.pop("everybody")
    return Counts(by_sso=everybody - counted["ready"] - counted["lacking"], **counted)


def people_with(memberships: QuerySet[Membership]) -> QuerySet[User]:
    """Return the active people of these memberships, with how they log in."""
    usable = Q(password="") | Q(password__startswith="!")  # noqa: S106 - Django's marks for "no password"
    return User.objects.filter(Among("pk", memberships.values("user")), is_active=True).annotate(
        has_app=Exists(TotpDevice.objects.filter(user=OuterRef("pk"), confirmed=True)),
        has_passkey=Exists(WebAuthnCredential.objects.filter(user=OuterRef("pk"), confirmed=True)),
        has_sso=Exists(UserSocialAuth.objects.filter(user=OuterRef("pk"))),
        has_password=~usable,
    )


def without_factor(people: QuerySet[User]) -> QuerySet[User]:
    """Narrow to people who log in by password and have no factor yet; all others have one, or log in by SSO only."""
    return people.filter(LACKS_FACTOR)


def _works_at(now: datetime) -> Q:
    return Q(revoked_at=None, rests_since=None) & (Q(expires_at=None) | Q(expires_at__gt=now))


RESPONSIBLE_PERSON = Coalesce("owner", "created_by")


def working_keys_of(people: QuerySet[User], *, now: datetime) -> QuerySet[ApiKey]:
    """Return the API keys that work now and that these people own or are responsible for."""
    working = ApiKey.objects.filter(_works_at(now)).alias(person=RESPONSIBLE_PERSON)
    return working.filter(Among("person", people.values("pk")))


def with_key_counts(people: QuerySet[User], *, now: datetime) -> QuerySet[User]:
    """Add ``key_count``: how many API keys work now that the person owns or is responsible for."""
    working = ApiKey.objects.filter(_works_at(now)).annotate(person=RESPONSIBLE_PERSON)
    counted = working.filter(person=OuterRef("pk")).order_by().values("person")
    return people.annotate(key_count=Coalesce(Subquery(counted.annotate(n=Count("pk")).values("n")), 0))


def people_with_grants(users: list[User], organisation: Organisation, *, viewer: Caller) -> list[Person]:
    """Return the users with the grants that give them access to the organisation or below it; one query."""
    people = {user.pk: Person(user) for user in users}
    places = Organisation.objects.above(organisation).order_by() | Organisation.objects.below(organisation).order_by()
    grants: Any = (
        Membership.objects.live().filter(user__in=people, organisation__in=places).select_related("organisation")
    )
    is_known = Exists(reachable(viewer).filter(pk=OuterRef("organisation")))
    for membership in grants.annotate(is_known=is_known).order_by("-organisation__depth"):
        origin = membership.organisation
        name = origin.name if membership.is_known else None
        people[membership.user_id].grants.append(
            Grant(membership, labels_of(membership.roles), origin.pk == organisation.pk, name)
        )
    return list(people.values())


def add_slowed(people: list[Person], *, now: datetime) -> list[Person]:
    """Add to these people which of their ways to log in are slowed at ``now``; one query."""
    slowed = slowed_people([person.user for person in people], now=now)
    for person in people:
        person.slowed = slowed.get(person.user.pk, [])
    return people


def administers_everything(by: Caller, user: User) -> bool:
    """Return whether ``by`` is an Administrator of everything that ``user`` has access to; a super user always is.

    False for a ``user`` without any access: only super users can tell who they are. An impersonator needs it of both
    people, and a key never has it. Two queries at most for a person.
    """
    if by.kind == CallerKind.SYSTEM:
        return True
    if by.user is None or by.key is not None:
        return False
    people = [by.user] if by.impersonator is None else [by.user, by.impersonator]
    return all(_administers_all_of(person, user) for person in people)


def _administers_all_of(person: User, user: User) -> bool:
    if person.is_superuser:
        return True
    above = (
        Membership.objects.live()
        .alias(end=Concat("organisation__path", Value("~")))
        .filter(user=person, roles__contains=[Role.ADMINISTRATOR])
        .filter(organisation__path__lte=OuterRef("organisation__path"), end__gt=OuterRef("organisation__path"))
    )
    reached = Membership.objects.live().filter(user=user)
    return reached.exists() and not reached.exclude(Exists(above)).exists()
