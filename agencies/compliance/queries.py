"""Count the figures of compliance, and query the lists of what they count."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User
from agencies.compliance.figures import (
    ACCESS,
    ENVIRONMENTS,
    FIGURES,
    KEYS,
    PEOPLE,
    PROVIDERS,
    Figure,
    Group,
)
from agencies.environment_table.choices import Age
from agencies.environment_table.queries import AgeNumber, filter_environments
from archival.evidence.ledger import MONTH, environments_below, receipts_of
from archival.models import Proof
from environments import roster
from environments.choices import Permission, labels_of
from environments.models import ApiKey, IdentityProvider, Membership, MembershipQuerySet, Organisation
from web.addresses import readable
from web.among import Among
from web.together import counted, fetch_together, lowest

SOON = timedelta(days=30)  # within which keys and access that expire are counted
CHECKED_AT = "checked_at"


@dataclass(frozen=True, slots=True)
class CountedFigure:
    figure: Figure
    count: int
    address: str  # of the list of what it counts


@dataclass(frozen=True, slots=True)
class Compliance:
    """The figures that a viewer can see, and when the environment that was checked longest ago was checked (UTC)."""

    figures: list[CountedFigure]
    checked_at: datetime | None

    @property
    def groups(self) -> list["GroupOfFigures"]:
        """The figures by group, without groups of which the viewer sees nothing."""
        grouped = [
            GroupOfFigures(group, [each for each in self.figures if each.figure.group == group]) for group in Group
        ]
        return [each for each in grouped if each.figures]


@dataclass(frozen=True, slots=True)
class GroupOfFigures:
    group: Group
    figures: list[CountedFigure]

    @property
    def most(self) -> int:
        """The highest of its figures."""
        return max(each.count for each in self.figures)


@dataclass(slots=True)
class Line:
    """One row of a list of what a figure counts, with the pages of the places where it can be changed."""

    name: str
    note: str
    places: list[tuple[str, str]] = field(default_factory=list)  # a name and an address each
    expires_at: datetime | None = None
    remind: str = ""  # the address at which a person is reminded


def count_figures(organisation: Organisation, *, permissions: Collection[Permission], now: datetime) -> Compliance:
    """Return the figures of everything at or below the organisation that these permissions show; two queries."""
    shown = [figure for figure in FIGURES if figure.needs in permissions]
    asked = [figure for figure in shown if figure.group != Group.AGES]
    questions = {figure.name: counted(rows_behind(figure, organisation, now=now)) for figure in asked}
    checked = Proof.objects.filter(Among("environment", _places_below(organisation)))
    answers = fetch_together(**questions, **{CHECKED_AT: lowest(checked, "checked_at")})
    counts = {figure.name: answers[figure.name][0] for figure in asked} | count_by_age(organisation, now=now)
    figures = [CountedFigure(each, counts[each.name], each.address(organisation)) for each in shown]
    return Compliance(figures, answers[CHECKED_AT][0])


def count_by_age(organisation: Organisation, *, now: datetime) -> dict[str, int]:
    """Return how many environments have their oldest data in each ``Age``, by the name of its figure; one query.

    Each figure alone would read the findings of all environments once more.
    """
    below = environments_below(organisation).order_by().annotate(age_number=AgeNumber(now))
    found = dict(below.values("age_number").annotate(count=Count("pk")).values_list("age_number", "count"))
    return {f"oldest_{age.value}": found.get(age.number, 0) for age in Age}


def rows_behind(figure: Figure, organisation: Organisation, *, now: datetime) -> QuerySet[Any]:
    """Return what a figure counts, as its list shows it."""
    if figure.view_name == ENVIRONMENTS:
        environments: QuerySet[Any] = filter_environments(organisation, dict(figure.query), now=now)
        return environments
    return LISTS[figure.view_name](organisation, now)


def deleted_by_day(organisation: Organisation, *, now: datetime) -> list[dict[str, Any]]:
    """Return how many messages the purge deleted on each of the last 30 days on which it deleted any; one query."""
    latest = receipts_of(organisation).order_by().filter(run__started_at__gt=now - MONTH)
    by_day: Any = latest.annotate(day=TruncDate("run__started_at")).values("day").annotate(messages=Sum("messages"))
    return list(by_day.order_by("day"))


def _places_below(organisation: Organisation) -> QuerySet[Any]:
    below: QuerySet[Any] = Organisation.objects.below(organisation).order_by().values("pk")
    return below


def _memberships(organisation: Organisation, now: datetime) -> MembershipQuerySet:
    """Return the live memberships at or below the organisation, also of people who are not active."""
    return Membership.objects.live(now).filter(Among("organisation", _places_below(organisation)))


def people_without_factor(organisation: Organisation, now: datetime) -> QuerySet[User]:
    """Return the people at or below the organisation who must still set up a second factor, in order of address."""
    people = roster.without_factor(roster.people_with(_memberships(organisation, now)))
    return people.order_by("email", "pk")


def expiring_access(organisation: Organisation, now: datetime) -> QuerySet[Membership]:
    """Return the memberships at or below the organisation that expire soon, the first to expire first."""
    expiring = _memberships(organisation, now).filter(expires_at__lte=now + SOON, user__is_active=True)
    return expiring.order_by("expires_at", "pk").select_related("user", "organisation")


def expiring_keys(organisation: Organisation, now: datetime) -> QuerySet[ApiKey]:
    """Return the working keys that expire soon, the first to expire first.

    These are those of the organisation and of everything below it, and those of its people that work there.
    """
    here = Among("organisation", _places_below(organisation))
    above = Among("organisation", Organisation.objects.above(organisation).order_by().values("pk"))
    people = Among("owner", _memberships(organisation, now).values("user"))
    reaching = (Q(owner=None) & Q(here)) | (Q(people) & (Q(organisation=None) | Q(here) | Q(above)))
    working = ApiKey.objects.filter(revoked_at=None, rests_since=None, expires_at__gt=now, expires_at__lte=now + SOON)
    return working.filter(reaching).order_by("expires_at", "pk").select_related("owner", "organisation")


def providers_off(organisation: Organisation, now: datetime) -> QuerySet[IdentityProvider]:
    """Return the identity providers at or below the organisation through which nobody can log in, in order of title.

    They are turned off, were never turned on, have no verified domain any more, or their organisation is suspended.
    """
    below = IdentityProvider.objects.filter(Among("organisation", _places_below(organisation)))
    off = below.exclude(pk__in=IdentityProvider.objects.working().values("pk"))
    return off.select_related("organisation").order_by("title", "pk")


LISTS: dict[str, Callable[[Organisation, datetime], QuerySet[Any]]] = {
    PEOPLE: people_without_factor,
    ACCESS: expiring_access,
    KEYS: expiring_keys,
    PROVIDERS: providers_off,
}


def lines_of_people(people: Iterable[User], organisation: Organisation, *, now: datetime) -> list[Line]:
    """Return people as rows, each with their memberships at or below the organisation; one query."""
    remind = reverse("agencies:remind-people", args=[organisation.slug])
    lines = {user.pk: Line(user.label, readable(user.email), remind=f"{remind}?person={user.pk}") for user in people}
    found = _memberships(organisation, now).filter(user__in=list(lines)).select_related("organisation")
    for membership in found.order_by("organisation__path"):
        lines[membership.user_id].places.append(_member_page(membership))
    return list(lines.values())


def lines_of_access(memberships: Iterable[Membership]) -> list[Line]:
    return [
        Line(each.user.label, ", ".join(labels_of(each.roles)), [_member_page(each)], each.expires_at)
        for each in memberships
    ]


def lines_of_keys(keys: Iterable[ApiKey], organisation: Organisation) -> list[Line]:
    """Return keys as rows; the place of a key is left out if it is above the organisation, or everywhere."""
    return [
        Line(key.name, key.owner.label if key.owner else "", _key_page(key, organisation), key.expires_at)
        for key in keys
    ]


def lines_of_providers(providers: Iterable[IdentityProvider]) -> list[Line]:
    """Return identity providers as rows, each with its state and a link to its page."""
    return [
        Line(
            each.title,
            _("no verified domain") if each.is_on else str(each.get_state_display()),
            [(each.organisation.name, reverse("environments:provider", args=[each.organisation.slug, each.key]))],
        )
        for each in providers
    ]


def _member_page(membership: Membership) -> tuple[str, str]:
    place = membership.organisation
    return place.name, reverse("environments:member", args=[place.slug, membership.pk])


def _key_page(key: ApiKey, organisation: Organisation) -> list[tuple[str, str]]:
    place = key.organisation
    if place is None or not place.path.startswith(organisation.path):
        return []
    return [(place.name, reverse("environments:organisation-keys", args=[place.slug]))]
