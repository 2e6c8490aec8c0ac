"""Who reaches an organisation: its own members and those of the organisations above it, and how they log in."""

from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Concat
from django_otp_webauthn.models import WebAuthnCredential
from social_django.models import UserSocialAuth

from accounts.models import TotpDevice, User
from accounts.throttle.queries import Slowed, slowed_people
from environments.access import reachable
from environments.caller import Caller
from environments.choices import CallerKind, Role
from environments.models import ApiKey, Membership, Organisation


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
    slowed: list[Slowed] = field(default_factory=list)  # which of their doors are slowed just now

    @property
    def own(self) -> Grant | None:
        return next((grant for grant in self.grants if grant.is_own), None)


@dataclass(frozen=True, slots=True)
class Counts:
    """People by what a required second factor means to them; the three add up to all."""

    ready: int  # have a factor
    by_sso: int  # have none and come through a provider alone
    lacking: int  # must set one up
    with_password: int  # how they can log in: somebody may have several ways, or none yet
    with_sso: int
    with_passkey: int

    @property
    def all(self) -> int:
        return self.ready + self.by_sso + self.lacking


HAS_FACTOR = Q(has_app=True) | Q(has_passkey=True)
LACKS_FACTOR = Q(has_app=False) & Q(has_passkey=False) & (Q(has_password=True) | Q(has_sso=False))


def people_of(organisation: Organisation) -> QuerySet[User]:
    """Return everybody who reaches the organisation by a live membership, with how they log in.

    Adds ``has_app``, ``has_passkey``, ``has_sso`` and ``has_password``.
    """
    chain = Organisation.objects.above(organisation).order_by()
    return people_with(Membership.objects.live().filter(organisation__in=chain))


def member_counts(organisation: Organisation) -> tuple[int, int]:
    """Return how many people are members of the organisation itself, and how many more reach it from above."""
    chain = Organisation.objects.above(organisation).order_by()
    people = Membership.objects.live().filter(organisation__in=chain)
    is_own = Q(organisation=organisation)
    counted = people.aggregate(all=Count("user", distinct=True), own=Count("user", distinct=True, filter=is_own))
    return counted["own"], counted["all"] - counted["own"]


def counts(people: QuerySet[User]) -> Counts:
    """Count people by what a required factor means to them, and by how they log in; one query."""
    counted = people.aggregate(
        everybody=Count("pk"),
        ready=Count("pk", filter=HAS_FACTOR),
        lacking=Count("pk", filter=LACKS_FACTOR),
        with_password=Count("pk", filter=Q(has_password=True)),
        with_sso=Count("pk", filter=Q(has_sso=True)),
        with_passkey=Count("pk", filter=Q(has_passkey=True)),
    )
    everybody = counted.pop("everybody")
    return Counts(by_sso=everybody - counted["ready"] - counted["lacking"], **counted)


def people_with(memberships: QuerySet[Membership]) -> QuerySet[User]:
    """Return the active people of these memberships, with how they log in."""
    live = memberships.filter(user=OuterRef("pk"))
    usable = Q(password="") | Q(password__startswith="!")  # noqa: S106 - Django's marks for "no password"
    return User.objects.filter(Exists(live), is_active=True).annotate(
        has_app=Exists(TotpDevice.objects.filter(user=OuterRef("pk"), confirmed=True)),
        has_passkey=Exists(WebAuthnCredential.objects.filter(user=OuterRef("pk"), confirmed=True)),
        has_sso=Exists(UserSocialAuth.objects.filter(user=OuterRef("pk"))),
        has_password=~usable,
    )


def without_factor(people: QuerySet[User]) -> QuerySet[User]:
    """Narrow to those who log in by password and have no factor yet; the rest is ready or comes by SSO alone."""
    return people.filter(LACKS_FACTOR)


def _working(now: datetime) -> Q:
    return Q(revoked_at=None, rests_since=None) & (Q(expires_at=None) | Q(expires_at__gt=now))


WHOSE = Coalesce("owner", "created_by")


def keys_of(people: QuerySet[User], *, now: datetime) -> QuerySet[ApiKey]:
    """Return the API keys that work now and are of these people, or that they answer for."""
    return ApiKey.objects.filter(_working(now)).alias(whose=WHOSE).filter(whose__in=people.values("pk"))


def with_keys(people: QuerySet[User], *, now: datetime) -> QuerySet[User]:
    """Add ``key_count``: how many API keys work now that are a person's, or that they answer for."""
    working = ApiKey.objects.filter(_working(now)).annotate(whose=WHOSE)
    counted = working.filter(whose=OuterRef("pk")).order_by().values("whose")
    return people.annotate(key_count=Coalesce(Subquery(counted.annotate(n=Count("pk")).values("n")), 0))


def persons(users: list[User], organisation: Organisation, *, viewer: Caller) -> list[Person]:
    """Join users with the grants through which they reach the organisation or something below it; two queries."""
    found = {user.pk: Person(user) for user in users}
    places = Organisation.objects.above(organisation).order_by() | Organisation.objects.below(organisation).order_by()
    known = set(reachable(viewer).filter(pk__in=places).values_list("pk", flat=True))
    grants = Membership.objects.live().filter(user__in=found, organisation__in=places).select_related("organisation")
    for membership in grants.order_by("-organisation__depth"):
        origin = membership.organisation
        name = origin.name if origin.pk in known else None
        found[membership.user_id].grants.append(
            Grant(membership, labels_of(membership.roles), origin.pk == organisation.pk, name)
        )
    return list(found.values())


def note_slowed(people: list[Person], *, now: datetime) -> list[Person]:
    """Fill in which doors of these people are slowed at ``now``; one query."""
    found = slowed_people([person.user for person in people], now=now)
    for person in people:
        person.slowed = found.get(person.user.pk, [])
    return people


def labels_of(roles: list[str]) -> list[str]:
    """Return the roles' names in the order of rank."""
    return [str(role.label) for role in Role if role.value in roles]


def administers_everything(by: Caller, user: User) -> bool:
    """Tell whether ``by`` is an Administrator of all that ``user`` reaches; a super user is, of everything.

    An impersonator is where the member viewed as is one too, and a key is nowhere. Somebody who reaches nothing is left
    to super users: nobody else can tell who they are. Two queries at most for a person.
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
