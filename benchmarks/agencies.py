"""Measure the pages of an agency of 10,000 environments beside the same pages of one of 100, in one database.

The large one has 500 customers, 5,000 people, 200,000 conversations and two million messages, the small one a
hundredth of each. Their administrators open the same pages in turn. The bar is the ratio that a page can cost more;
blocks are those that a page's statements read, in memory or on disk.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from archival.models import Proof
from benchmarks import ground
from benchmarks.measure import Measured, Watch, run_in_turn
from benchmarks.rows import Plan, store_conversations
from conversations.models import DailyCount
from environments.caller import SYSTEM
from environments.choices import Archival, Kind, Role
from environments.memberships import grant_membership
from environments.models import Membership, Organisation
from environments.policies.resolve import resolve
from environments.tree.services import create_organisation

PER_CUSTOMER, PEOPLE_PER_CUSTOMER, CONVERSATIONS, MESSAGES, DAYS = 20, 10, 20, 10, 30
LARGE, SMALL = 500, 5  # customers
TIMES, BAR = 12, 2.0
LIMITS = (30, 90, 365, None)


@dataclass(frozen=True)
class Agency:
    node: Organisation
    environments: list[Organisation]
    visitor: Client


def run() -> list[Measured]:
    now = timezone.now()
    large, small = create_agency("large", LARGE, now=now), create_agency("small", SMALL, now=now)
    ground.keep_copy("agencies")
    ground.restore_copy("agencies")
    ground.drop_copy("agencies")
    logging.disable()  # a line for each request
    pairs = {
        name: (Page(large.visitor, address), Page(small.visitor, addresses(small)[name]))
        for name, address in addresses(large).items()
    }
    run_in_turn(TIMES, *(page for pair in pairs.values() for page in pair))
    logging.disable(logging.NOTSET)
    return [of_large.beside(of_small, name) for name, (of_large, of_small) in pairs.items()]


def addresses(agency: Agency) -> dict[str, str]:
    here, environment = f"/{agency.node.slug}", f"/{agency.environments[0].slug}"
    table = f"{here}/environments/"
    return {
        "environments": table,
        "environments, without a factor": f"{table}?show=without_factor",
        "environments, late": f"{table}?show=late",
        "environments, pending": f"{table}?show=pending",
        "environments, MFA required": f"{table}?mfa=required",
        "environments, by name": f"{table}?q=shop+7",
        "environments, oldest data first": f"{table}?sort=oldest-data",
        "pending changes": "/pending-changes/",
        "usage": f"{here}/usage/",
        "compliance": f"{here}/compliance/",
        "home of an agency": f"{here}/",
        "organisation": f"{here}/organisation/",
        "members of an agency": f"{here}/members/",
        "audit log of an agency": f"{here}/audit/",
        "retention ledger of an agency": f"{here}/retention/",
        "advanced settings of an agency": f"{here}/settings/advanced/",
        "switcher": "/switch/",
        "home of an environment": f"{environment}/",
        "members of an environment": f"{environment}/members/",
    }


class Page(Watch):
    """The duration of each request for one address, with the queries and blocks of one request."""

    def __init__(self, visitor: Client, address: str) -> None:
        super().__init__()
        self.visitor, self.address = visitor, address
        self.request()
        before = blocks_read()
        with connection.execute_wrapper(self._count):
            self.queries = 0
            self.request()
        self.blocks = blocks_read() - before

    def _count(self, execute, sql, params, many, context):
        self.queries += 1
        return execute(sql, params, many, context)

    def request(self) -> None:
        answer = self.visitor.get(self.address)
        assert answer.status_code == 200, (self.address, answer.status_code)

    def __call__(self) -> None:
        with self.running():
            self.request()

    def beside(self, small: "Page", name: str) -> Measured:
        note = (
            f"{self.median * 1000:.0f} and {small.median * 1000:.0f} ms; {self.queries} queries, {small.queries};"
            f" {self.blocks:,} blocks, {small.blocks:,}"
        )
        return Measured(f"10,000: {name}", "100 environments", self.median, small.median, BAR, note)


def blocks_read() -> int:
    """Return how many blocks of tables and indexes this database has read so far, from memory or disk."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


# -- What the pages show ------------------------------------------------------------------------


def create_agency(name: str, customers: int, *, now: datetime) -> Agency:
    """Create an agency with so many customers, each with its environments and people, and what bots stored."""
    agency = create_organisation(f"Agency {name}", kind=Kind.AGENCY, slug=f"bench-{name}", by=SYSTEM)
    Organisation.objects.bulk_create(nodes_below(agency, name, customers), batch_size=2_000)
    Organisation.objects.filter(pk=agency.pk).update(numchild=customers)
    resolve(agency, now=now)
    environments = list(Organisation.objects.below(agency).environments().order_by("path"))
    create_people(agency, name)
    store_conversations([Plan(each.pk, CONVERSATIONS, oldest=25, span=25) for each in environments], now=now)
    create_findings(environments, now=now)
    administrator = User.objects.create_user(f"{name}@bench.example", "Bench-Horse-9", name=f"Administrator {name}")
    grant_membership(administrator, agency, roles=[Role.ADMINISTRATOR], by=SYSTEM)
    visitor = Client(SERVER_NAME="localhost")
    visitor.force_login(administrator)
    return Agency(agency, environments, visitor)


def nodes_below(agency: Organisation, name: str, customers: int) -> Iterator[Organisation]:
    for number in range(1, customers + 1):
        path = agency.path + step(number)
        customer = {"path": path, "depth": agency.depth + 1, "numchild": PER_CUSTOMER, "kind": Kind.CUSTOMER}
        yield Organisation(name=f"Customer {number}", slug=f"bench-{name}-{number}", **customer)
        for place in range(1, PER_CUSTOMER + 1):
            days = LIMITS[place % len(LIMITS)]
            limit = {"archival": Archival.LIMIT, "archive_after_days": days} if days else {}
            yield Organisation(
                path=path + step(place),
                depth=agency.depth + 2,
                kind=Kind.ENVIRONMENT,
                name=f"Shop {place} of customer {number}",
                slug=f"bench-{name}-{number}-{place}",
                **limit,
            )


def step(number: int) -> str:
    return Organisation._int2str(number).rjust(Organisation.steplen, "0")


def create_people(agency: Organisation, name: str) -> None:
    """Create ten people for each customer: one manages it, the others are members of one of its environments."""
    customers = list(Organisation.objects.below(agency).filter(kind=Kind.CUSTOMER).order_by("path"))
    environments = list(Organisation.objects.below(agency).environments().order_by("path"))
    some = [environments[at * PER_CUSTOMER :][: PEOPLE_PER_CUSTOMER - 1] for at in range(len(customers))]
    places = [place for customer, theirs in zip(customers, some, strict=True) for place in (customer, *theirs)]
    people = User.objects.bulk_create(
        User(email=f"{name}-{number}@bench.example", name=f"Person {number}", password="!")
        for number in range(len(places))
    )
    now = timezone.now()
    Membership.objects.bulk_create(
        Membership(
            user=person,
            organisation=place,
            roles=[Role.MEMBER if place.is_environment else Role.ORGANISATION_MANAGER],
            accepted_at=now,
        )
        for person, place in zip(people, places, strict=True)
    )


def create_findings(environments: list[Organisation], *, now: datetime) -> None:
    """Give each environment the last check of the proof and a count a day; one in a hundred is late."""
    Proof.objects.bulk_create(
        Proof(
            environment=each,
            checked_at=now,
            is_late=number % 100 == 0,
            findings=[
                {
                    "kind": "messages",
                    "state": "late" if number % 100 == 0 else "ok",
                    "oldest": (now - timedelta(days=number % 700)).isoformat(),
                    "late_by_seconds": 60 if number % 100 == 0 else 0,
                }
            ],
        )
        for number, each in enumerate(environments)
    )
    DailyCount.objects.bulk_create(
        (
            DailyCount(
                environment=each, day=(now - timedelta(days=ago)).date(), channel="web", conversations=1, contacts=1
            )
            for each in environments
            for ago in range(DAYS)
        ),
        batch_size=10_000,
    )
