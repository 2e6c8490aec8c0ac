"""Query the environments below an organisation, filtered and ordered, with what the table says of each."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from itertools import islice
from operator import or_
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.paginator import Page
from django.db.models import Count, DateTimeField, Exists, F, Func, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Coalesce, Concat

from agencies.environment_table.choices import AGE_BOUNDS, Age, Limit, Order, Seek
from agencies.models import BulkChange
from archival.choices import ProofState
from archival.models import Guard, Hold, PolicyChange, Proof
from environments import roster
from environments.access import Access
from environments.choices import Archival, Kind, MfaSetting, Permission
from environments.models import (
    AccessRequest,
    Membership,
    MfaChange,
    Organisation,
    OrganisationQuerySet,
    is_at_or_below,
)
from environments.policies.effective import Row, organisation_rows
from environments.policies.scheduled import pending_changes
from web.among import Among, AmongMany
from web.paging import page_of

AT_ONCE = 500  # rows of a file
PAGE_SIZE = 50
LATEST = 10  # bulk changes below the table
NO_DATA = {"files", "changes"}  # kinds of findings of the proof that are about no row of data


@dataclass(frozen=True, slots=True)
class TableRow:
    """An environment with its settings, and what needs attention there; None for what the viewer cannot see."""

    settings: Row
    without_factor: int | None  # people who reach it and must still set up a second factor
    requests: int | None
    proof: Proof | None  # also None before the first check

    @property
    def node(self) -> Any:
        """The environment, with what ``with_details`` adds."""
        return self.settings.node

    @property
    def changes_at(self) -> datetime | None:
        """When the next pending change of a setting takes effect, there or above (UTC)."""
        changes = (self.node.retention_changes_at, self.node.mfa_changes_at)
        return min((each for each in changes if each), default=None)

    @property
    def is_late(self) -> bool | None:
        """Whether deletions are late there by the last check."""
        return None if self.proof is None else self.proof.is_late

    @property
    def oldest(self) -> datetime | None:
        """The instant of its oldest data by the last check (UTC)."""
        found = [each["oldest"] for each in (self.proof.findings if self.proof else []) if each["kind"] not in NO_DATA]
        return min((datetime.fromisoformat(each) for each in found if each), default=None)


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the page, below the headings that begin with it: what is above it and was not above the row before."""

    row: TableRow
    headings: list["Heading"]
    depth: int  # below the organisation of the page, 1 right below it; 0 in a flat list


@dataclass(frozen=True, slots=True)
class Heading:
    node: Organisation
    depth: int


def lines_of(rows: Iterable[TableRow], organisation: Organisation, *, as_tree: bool) -> list[Line]:
    """Return rows of the table, below the customers that they stand below if they are shown as a tree; no query."""
    lines: list[Line] = []
    before: set[int] = set()
    for row in rows:
        inside = [each for each in row.settings.above if each.depth > organisation.depth] if as_tree else []
        headings = [Heading(each, each.depth - organisation.depth) for each in inside if each.pk not in before]
        lines.append(Line(row, headings, row.node.depth - organisation.depth if as_tree else 0))
        before = {each.pk for each in inside}
    return lines


def environments_matching(organisation: Organisation, asked: dict[str, Any], *, now: datetime) -> OrganisationQuerySet:
    """Return the environments below the organisation that the filter asks for, in its order.

    ``asked`` has the valid values of ``EnvironmentFilterForm``.
    """
    return _ordered(filter_environments(organisation, asked, now=now), asked.get("sort") or "")


def with_details(environments: OrganisationQuerySet) -> OrganisationQuerySet:
    """Add what the table says of each environment.

    That is its proof, ``retention_changes_at`` and ``mfa_changes_at``, when the next pending change there or above
    takes effect, and ``request_count``.
    """
    changes = {"retention_changes_at": PolicyChange, "mfa_changes_at": MfaChange}
    requests = _requests().order_by().values("organisation").annotate(count=Count("pk")).values("count")
    return environments.select_related("proof").annotate(
        request_count=Coalesce(Subquery(requests), 0),
        **{name: Subquery(_soonest(_around(pending_changes(model)))) for name, model in changes.items()},
    )


def _soonest(changes: QuerySet[Any]) -> QuerySet[Any]:
    return changes.order_by("acts_at").values("acts_at")[:1]


def page_of_environments(found: OrganisationQuerySet, number: str | None, *, reads_all: bool) -> Page[Organisation]:
    """Return a page of ``environments_matching`` with their details; two queries.

    The first finds ids alone: joins and details of all that match would cost more than those that are shown.
    """
    page: Page[Organisation] = page_of(found.only("pk"), number, size=PAGE_SIZE, reads_all=reads_all)
    nodes = with_details(Organisation.objects.order_by()).in_bulk([each.pk for each in page])
    page.object_list = [nodes[each.pk] for each in page if each.pk in nodes]  # the others were deleted just now
    return page


def filter_environments(organisation: Organisation, asked: dict[str, Any], *, now: datetime) -> OrganisationQuerySet:
    """Return the environments at or below the organisation that the filter asks for, without what the table adds."""
    found: OrganisationQuerySet = Organisation.objects.below(organisation).environments()
    if words := asked.get("q"):
        found = found.filter(_named(words, found, organisation))
    if customers := asked.get("customers"):
        found = found.filter(_of_customers(customers, organisation))
    if asked.get("show") == Seek.WITHOUT_FACTOR:
        found = found.filter(is_at_or_below(_places_without_factor(organisation).values("path")))
    return narrow_environments(found, asked, now=now)


def narrow_environments(found: OrganisationQuerySet, asked: dict[str, Any], *, now: datetime) -> OrganisationQuerySet:
    """Narrow environments of anywhere to those that the filter asks for by themselves: not by words or by people."""
    if mfa := asked.get("mfa"):
        found = found.filter(_with_mfa(mfa))
    if archival := asked.get("archival"):
        found = found.filter(_with_archival(archival))
    if oldest := asked.get("oldest"):
        found = found.alias(age_number=AgeNumber(now)).filter(age_number=Age(oldest).number)
    if (show := asked.get("show")) in SOUGHT:
        found = found.filter(SOUGHT[Seek(show)](now))
    return found


def _with_mfa(asked: str) -> Q:
    """Return the condition for a choice of the filter: an own value, or what is in effect."""
    is_own = asked in MfaSetting.values
    return Q(require_mfa=asked) if is_own else Q(effective_require_mfa=asked == "required")


def _with_archival(asked: str) -> Q:
    """Return the condition for a choice of the filter: an own value, or the limit in effect."""
    if asked in Archival.values:
        return Q(archival=asked)
    days = Limit(asked).days
    return Q(effective_archive_after_days__range=days) if days else Q(effective_archive_after_days=None)


def _named(words: str, environments: OrganisationQuerySet, organisation: Organisation) -> Q:
    """Return the condition that words are in the name of an environment, or of one above it up to the organisation.

    Both as ids: else PostgreSQL, which expects more matches than there are, looks for them in the order of the tree.
    """
    named = _customers_below(organisation).filter(name__icontains=words)
    by_name = environments.filter(Q(name__icontains=words) | Q(slug__icontains=words))
    by_customer = environments.filter(is_at_or_below(named.values("path")))
    return Q(_among_ids(by_name)) | Q(_among_ids(by_customer))


def _of_customers(names: list[str], organisation: Organisation) -> Q:
    """Return the condition that an environment is below a customer with one of these names or short names."""
    named = reduce(or_, (Q(name__icontains=name) | Q(slug=name.lower()) for name in names))
    return is_at_or_below(_customers_below(organisation).filter(named).values("path"))


def _customers_below(organisation: Organisation) -> OrganisationQuerySet:
    """Return everything below the organisation that environments can be below."""
    below: OrganisationQuerySet = Organisation.objects.below(organisation).exclude(kind=Kind.ENVIRONMENT)
    return below.exclude(pk=organisation.pk).order_by()


def _among_ids(environments: OrganisationQuerySet) -> Among:
    return Among("pk", environments.order_by().values("pk"))


def _around(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Narrow rows of organisations to those at or above the environment of the outer query."""
    reaching = rows.alias(end=Concat("organisation__path", Value("~")))
    return reaching.filter(organisation__path__lte=OuterRef("path"), end__gt=OuterRef("path"))


def _requests() -> QuerySet[AccessRequest]:
    return AccessRequest.objects.waiting().filter(organisation=OuterRef("pk"))


def _places_without_factor(organisation: Organisation) -> OrganisationQuerySet:
    """Return the organisations around this one with a membership of somebody who must still set up a second factor."""
    memberships = roster.memberships_around(organisation)
    lacking = roster.without_factor(roster.people_with(memberships))
    theirs = memberships.filter(AmongMany("user", lacking.values("pk")))
    return Organisation.objects.order_by().filter(AmongMany("pk", theirs.values("organisation")))


SOUGHT: dict[str, Callable[[datetime], Any]] = {
    Seek.LATE: lambda now: Q(proof__is_late=True),
    Seek.PAUSED: lambda now: Q(proof__findings__contains=[{"state": ProofState.PAUSED.value}]),
    Seek.GUARDED: lambda now: Exists(Guard.objects.filter(environment=OuterRef("pk"), confirmed_at=None)),
    Seek.UNCHECKED: lambda now: Q(proof=None),
    Seek.PENDING: lambda now: (
        is_at_or_below(pending_changes(PolicyChange).values("organisation__path"))
        | is_at_or_below(pending_changes(MfaChange).values("organisation__path"))
    ),
    Seek.HELD: lambda now: Exists(Hold.objects.active(now).filter(environment=OuterRef("pk"))),
    Seek.REQUESTS: lambda now: Exists(_requests()),
    Seek.SUSPENDED: lambda now: Q(is_suspended=True),
}


class OldestFinding(Func):
    """The oldest instant among the findings of a proof."""

    template = (
        "(SELECT min((finding->>'oldest')::timestamptz) FROM jsonb_array_elements(%(expressions)s) AS finding"
        " WHERE finding->>'kind' NOT IN ('files', 'changes'))"
    )
    output_field = DateTimeField()


class AgeNumber(Func):
    """The ``number`` of the ``Age`` of the oldest data of an environment."""

    function = "width_bucket"
    output_field = IntegerField()

    def __init__(self, now: datetime) -> None:
        bounds = Value([now - timedelta(days=days) for days in AGE_BOUNDS], output_field=ArrayField(DateTimeField()))
        super().__init__(OldestFinding("proof__findings"), Cast(bounds, ArrayField(DateTimeField())))


def _ordered(found: OrganisationQuerySet, order: str) -> OrganisationQuerySet:
    days = F("effective_archive_after_days")
    orders: dict[str, list[Any]] = {
        Order.NAME: ["name"],
        Order.SHORTEST: [days.asc(nulls_last=True)],
        Order.LONGEST: [days.desc(nulls_first=True)],
        Order.NEWEST: ["-created_at"],
        Order.OLDEST_DATA: [OldestFinding("proof__findings").asc(nulls_last=True)],
    }
    return found.order_by(*orders.get(order, []), "path")


def table_rows(environments: Iterable[Organisation], *, access: Access) -> list[TableRow]:
    """Return environments ``with_details`` as rows, in their order; two queries for any number."""
    nodes = list(environments)
    people = people_without_factor(nodes) if Permission.MANAGE_MEMBERS in access.permissions else None
    sees_requests = Permission.ANSWER_ACCESS_REQUESTS in access.permissions
    sees_evidence = Permission.READ_AUDIT_LOG in access.permissions
    return [
        TableRow(
            row,
            without_factor=None if people is None else len(people[row.node.pk]),
            requests=row.node.request_count if sees_requests else None,
            proof=getattr(row.node, "proof", None) if sees_evidence else None,
        )
        for row in organisation_rows(nodes, viewer=access.caller)
    ]


def people_without_factor(environments: list[Organisation]) -> dict[int, set[int]]:
    """Return who reaches each environment and must still set up a second factor, as ids by its id; one query."""
    paths = {path for each in environments for path in each.lineage}
    memberships = Membership.objects.live().filter(organisation__path__in=paths)
    people = roster.without_factor(roster.people_with(memberships))
    found: dict[str, set[int]] = {}
    lacking = memberships.filter(user__in=people.values("pk"))
    for path, user in lacking.values_list("organisation__path", "user"):
        found.setdefault(path, set()).add(user)
    return {each.pk: set().union(*(found.get(path, set()) for path in each.lineage)) for each in environments}


def all_rows(found: OrganisationQuerySet, *, access: Access) -> Iterator[TableRow]:
    """Yield every environment of ``environments_matching`` as a row, for a file."""
    nodes = with_details(found).iterator(chunk_size=AT_ONCE)
    while some := list(islice(nodes, AT_ONCE)):
        yield from table_rows(some, access=access)


def latest_bulk_changes(organisation: Organisation) -> QuerySet[BulkChange]:
    """Return the latest bulk changes that were started from the table of an organisation; one query."""
    return BulkChange.objects.filter(organisation=organisation).order_by("-pk")[:LATEST]
