"""What needs somebody's attention in an organisation and below it, for the home pages: what waits, lapses or is stuck.

Viewers see what they can do something about. Pending deletions are in ``studio.pending``; late retention is a warning
of the frame, which every page shows.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Func, IntegerField, QuerySet
from django.db.models.functions import JSONObject
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import ngettext

from archival.models import Guard
from environments.access import Access
from environments.choices import Permission
from environments.models import AccessRequest, ApiKey, OrganisationDomain, OrganisationQuerySet
from environments.roster import people_of, without_factor
from studio.context import address
from web.together import count_if, counted, summed_up

NAMED = 5  # how many organisations a concern names; the others are counted
REQUESTS, WITHOUT_FACTOR = "requests", "without_factor"


@dataclass(frozen=True, slots=True)
class Place:
    """An organisation, how much of a concern is there, and the page that shows it."""

    name: str
    address: str
    count: int


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that needs attention; ``more`` is how many organisations are not among ``places``."""

    words: str
    places: list[Place]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """What can need attention below an organisation, and the page where those with these permissions see to it."""

    rows: Callable[[OrganisationQuerySet], QuerySet[Any]]
    view_name: str
    section: str
    needs: frozenset[Permission]
    organisation: str = "organisation"  # the field of the rows


SUBJECTS = {
    "guards": Subject(
        lambda below: Guard.objects.filter(confirmed_at=None, environment__in=below),
        "archival:ledger",
        "",
        frozenset({Permission.READ_AUDIT_LOG, Permission.CHANGE_ADVANCED_SETTINGS}),
        organisation="environment",
    ),
    "domains": Subject(
        lambda below: OrganisationDomain.objects.exclude(missing_since=None, unconfirmed_since=None).filter(
            verified_at__isnull=False, organisation__in=below
        ),
        "environments:settings",
        "#domains",
        frozenset({Permission.CHANGE_SETTINGS}),
    ),
    "keys": Subject(
        lambda below: ApiKey.objects.filter(
            owner=None, revoked_at=None, rests_since__isnull=False, organisation__in=below
        ),
        "environments:organisation-keys",
        "",
        frozenset({Permission.MANAGE_API_KEYS}),
    ),
}


def say(name: str, count: int) -> str:
    """Return what needs attention as a sentence."""
    sentences = {
        REQUESTS: ngettext(
            "%(n)s access request waits for an answer", "%(n)s access requests wait for an answer", count
        ),
        "guards": ngettext(
            "The purge reached its maximum in %(n)s environment and waits for a confirmation",
            "The purge reached its maximum in %(n)s environments and waits for a confirmation",
            count,
        ),
        "domains": ngettext(
            "%(n)s verified domain has to be checked", "%(n)s verified domains have to be checked", count
        ),
        "keys": ngettext("%(n)s API key is suspended", "%(n)s API keys are suspended", count),
        WITHOUT_FACTOR: ngettext("%(n)s person has no second factor", "%(n)s people have no second factor", count),
    }
    return sentences[name] % {"n": number_format(count)}


def questions_about(access: Access) -> dict[str, Any]:
    """Return what ``concerns_among`` needs to know, for ``fetch_together``."""
    everything = type(access.organisation).objects.below(access.organisation).order_by()
    below = everything.values("pk")
    questions: dict[str, Any] = {}
    if Permission.ANSWER_ACCESS_REQUESTS in access.permissions:
        answerable = everything if access.caller.is_superuser else everything.live()
        requests = AccessRequest.objects.waiting().filter(organisation__in=answerable.values("pk"))
        questions[REQUESTS] = counted(requests)
    for name, subject in SUBJECTS.items():
        if subject.needs <= access.permissions:
            questions |= _questions_by_place(name, subject, subject.rows(below))
    if Permission.MANAGE_MEMBERS in access.permissions:
        questions[WITHOUT_FACTOR] = counted(without_factor(people_of(access.organisation)))
    return questions


def _questions_by_place(name: str, subject: Subject, rows: QuerySet[Any]) -> dict[str, Any]:
    field = subject.organisation
    place = JSONObject(slug=f"{field}__slug", name=f"{field}__name", count=Count("pk"))
    places = Func(F(field), template="COUNT(DISTINCT %(expressions)s)", output_field=IntegerField())
    by_place = rows.order_by(f"{field}__path").values(f"{field}__path").annotate(place=place)
    return {
        f"{name}_places": by_place.values_list("place")[:NAMED],
        f"{name}_counts": summed_up(rows, rows=count_if(), places=places),
    }


def concerns_among(answers: dict[str, list[Any]], access: Access) -> Sequence[Concern]:
    """Return what needs attention, what others wait for first."""
    slug = access.organisation.slug
    inbox, members = (reverse(f"environments:{each}", args=[slug]) for each in ("access-requests", "members"))
    return [
        *_concern_of_all(REQUESTS, inbox, answers, access),
        *(_concern(name, subject, answers) for name, subject in SUBJECTS.items() if answers.get(f"{name}_places")),
        *_concern_of_all(WITHOUT_FACTOR, f"{members}?mfa=without", answers, access),
    ]


def _concern_of_all(name: str, page: str, answers: dict[str, list[Any]], access: Access) -> list[Concern]:
    """Return a concern, if there is any, whose page of the organisation also has what is below it."""
    count = answers.get(name, [0])[0]
    return [Concern(say(name, count), [Place(access.organisation.name, page, count)])] if count else []


def _concern(name: str, subject: Subject, answers: dict[str, list[Any]]) -> Concern:
    counts = json.loads(answers[f"{name}_counts"][0])
    places = [
        Place(row["name"], f"{address(subject.view_name, row['slug'])}{subject.section}", row["count"])
        for row in map(json.loads, answers[f"{name}_places"])
    ]
    return Concern(say(name, counts["rows"]), places, more=counts["places"] - len(places))
