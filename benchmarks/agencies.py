"""Measure the pages of an agency of 10,000 environments beside the same pages of one of 100, in one database.

The large one has 500 customers, 5,000 people, 200,000 conversations and two million messages, the small one a
hundredth of each, and a tenth of each agency's conversations are in its largest environment. Their administrators open
the same pages, and save the same settings, in turn. The bar is the ratio that a page can cost more; blocks are those
that a request's statements read or write, in memory or on disk.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from agencies.bulk.preview import preview_bulk_change
from agencies.bulk.services import count_states, run_bulk_change, start_bulk_change
from agencies.bulk.wanted import Wanted
from archival.models import Proof
from archival.policy.services import change_retention
from benchmarks import ground
from benchmarks.measure import Measured, Watch, run_in_turn
from benchmarks.rows import Plan, store_conversations
from conversations.models import DailyCount
from environments.access import reach
from environments.caller import SYSTEM, Caller
from environments.choices import Archival, Kind, Role
from environments.memberships import grant_membership
from environments.models import Membership, Organisation
from environments.policies.mfa import MfaRule
from environments.policies.resolve import resolve
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa
from environments.tree.services import create_organisation

PER_CUSTOMER, PEOPLE_PER_CUSTOMER, CONVERSATIONS, MESSAGES, DAYS = 20, 10, 20, 10, 30
PER_LARGEST, LEAST_LATE, AT_ONCE = 2, 50, 500  # PER_LARGEST: conversations for each other environment; about a tenth
LARGE, SMALL = 500, 5  # customers
TIMES, BAR = 6, 2.0
LIMITS = (30, 90, 365, None)


@dataclass(frozen=True)
class Agency:
    node: Organisation
    environments: list[Organisation]
    administrator: Caller
    visitor: Client


def run() -> list[Measured]:
    now = timezone.now()
    large, small = create_agency("large", LARGE, now=now), create_agency("small", SMALL, now=now)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM FULL")  # storing all at once wrote each organisation twice, and left indexes half empty
    ground.keep_copy("agencies")
    ground.restore_copy("agencies")
    ground.drop_copy("agencies")
    logging.disable()  # a line for each request
    pairs = {
        name: (Page(large.visitor, address), Page(small.visitor, addresses(small)[name]))
        for name, address in addresses(large).items()
    }
    measured = measure_in_turn(pairs)
    # After the pages, which an administrator without a factor cannot open while MFA is required.
    measured += measure_in_turn({name: (Save(large, save), Save(small, save)) for name, save in SAVED.items()})
    measured += change_many(large)
    logging.disable(logging.NOTSET)
    return measured


def measure_in_turn(pairs: "dict[str, tuple[Page, Page]]") -> list[Measured]:
    run_in_turn(TIMES, *(page for pair in pairs.values() for page in pair))
    return [of_large.beside(of_small, name) for name, (of_large, of_small) in pairs.items()]


def addresses(agency: Agency) -> dict[str, str]:
    here, environment, largest = (
        f"/{each.slug}" for each in (agency.node, agency.environments[0], agency.environments[-1])
    )
    person = Membership.objects.filter(organisation=agency.environments[0]).values_list("user", flat=True)[0]
    everywhere = agency.administrator.require_person().pk
    table = f"{here}/environments/"
    return {
        "environments": table,
        "environments, without a factor": f"{table}?show=without_factor",
        "environments, late": f"{table}?show=late",
        "environments, pending": f"{table}?show=pending",
        "environments, MFA required": f"{table}?mfa=required",
        "environments, by name": f"{table}?q=shop+1",
        "environments, of three customers": f"{table}?customers=customer+1,customer+2,customer+3",
        "environments, by age of data": f"{table}?oldest=longer",
        "environments, ordered by name": f"{table}?sort=name",
        "environments, oldest data first": f"{table}?sort=oldest-data",
        "change of all environments": f"{table}change/?all=on&filter=",
        "users": f"{here}/users/",
        "users, without a factor": f"{here}/users/?mfa=without",
        "users, by place": f"{here}/users/?sort=place",
        "a person": f"{here}/users/{person}/",
        "a person with access to everything": f"{here}/users/{everywhere}/",
        "pending changes": "/pending-changes/",
        "usage": f"{here}/usage/",
        "compliance": f"{here}/compliance/",
        "people without a factor": f"{here}/compliance/people/",
        "access that expires": f"{here}/compliance/access/",
        "keys that expire": f"{here}/compliance/keys/",
        "home of an agency": f"{here}/",
        "organisation": f"{here}/organisation/",
        "members of an agency": f"{here}/members/",
        "audit log of an agency": f"{here}/audit/",
        "retention ledger of an agency": f"{here}/retention/",
        "advanced settings of an agency": f"{here}/settings/advanced/",
        "switcher": "/switch/",
        "home of an environment": f"{environment}/",
        "members of an environment": f"{environment}/members/",
        "home of the largest environment": f"{largest}/",
        "conversations of the largest environment": f"{largest}/conversations/",
        "members of the largest environment": f"{largest}/members/",
        "organisations": "/organisations/",
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


class Save(Page):
    """The duration of each time that a setting of an agency is saved by its service, with another value each time."""

    def __init__(self, agency: Agency, save: Callable[[Agency, int], object]) -> None:
        self.agency, self.save, self.number = agency, save, 0
        super().__init__(agency.visitor, "")

    def request(self) -> None:
        self.number += 1
        self.save(self.agency, self.number)


def save_retention(agency: Agency, number: int) -> object:
    """Set a limit that a fourth of the environments inherits, and that deletes nothing."""
    to = Retention.limit(1000 + number)
    return change_retention(agency.node, to=to, by=agency.administrator, now=timezone.now())


def save_mfa(agency: Agency, number: int) -> object:
    """Require MFA of everybody, or stop to."""
    to = MfaRule.on() if number % 2 else MfaRule.off()
    return set_require_mfa(agency.node, to=to, by=agency.administrator, now=timezone.now())


SAVED = {"saving a limit of an agency": save_retention, "saving MFA of an agency": save_mfa}


def change_many(agency: Agency) -> list[Measured]:
    """Preview a bulk change of 500 environments, which deletes something in each, and do it with one worker."""
    chosen = agency.environments[:AT_ONCE]
    wanted = Wanted(retention=Retention.limit(10))
    access = reach(agency.administrator, agency.node.slug)
    preview, apply = Watch(), Watch()
    for _time in range(3):
        with preview.running():
            found = preview_bulk_change(agency.node, chosen, wanted, access=access, now=timezone.now())
    with apply.running():
        now = timezone.now()
        job = start_bulk_change(agency.node, found.changing, wanted=wanted, by=agency.administrator, now=now)
        run_bulk_change(job, seconds=600)
    deletes = f"{found.total.rows:,} rows to delete"
    return [
        Measured(f"preview of a bulk change of {AT_ONCE}", "2 s", preview.median, 2, None, deletes),
        Measured(f"a bulk change of {AT_ONCE}", "10 s", apply.median, 10, None, str(count_states(job))),
    ]


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
    largest = PER_LARGEST * len(environments)
    plans = [Plan(each.pk, CONVERSATIONS, oldest=25, span=25) for each in environments]
    plans[-1] = replace(plans[-1], conversations=largest)
    store_conversations(plans, now=now)
    create_findings(environments, now=now)
    administrator = User.objects.create_user(f"{name}@bench.example", "Bench-Horse-9", name=f"Administrator {name}")
    grant_membership(administrator, agency, roles=[Role.ADMINISTRATOR], by=SYSTEM)
    visitor = Client(SERVER_NAME="localhost")
    visitor.force_login(administrator)
    return Agency(agency, environments, Caller.of(administrator), visitor)


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
    """Give each environment the last check of the proof and a count a day; one in a hundred is late, at least 50."""
    is_late = {each.pk for each in environments[:: min(100, len(environments) // LEAST_LATE)]}
    Proof.objects.bulk_create(
        Proof(
            environment=each,
            checked_at=now,
            is_late=each.pk in is_late,
            findings=[
                {
                    "kind": "messages",
                    "state": "late" if each.pk in is_late else "ok",
                    "oldest": (now - timedelta(days=number % 700)).isoformat(),
                    "late_by_seconds": 60 if each.pk in is_late else 0,
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
