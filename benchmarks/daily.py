"""Measure each page that people open daily, with 50 rows, beside an empty page behind the same gate.

The empty page passes the same middleware; its view does nothing. The frame alone is what it costs with the header and
the side bar around it. This module is the root of addresses while it measures, and adds the two.
"""

import logging
from datetime import datetime, timedelta

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from django.utils import timezone

from accounts.choices import OpenedBy
from accounts.models import SessionRecord, User
from archival.choices import RunState
from archival.models import PurgeRun, Receipt
from benchmarks import ground
from benchmarks.measure import Measured, Watch, run_in_turn
from benchmarks.rows import Plan, create_environments, set_limit, store_conversations
from conversations.models import Contact, Conversation
from environments.access import in_organisation
from environments.caller import SYSTEM
from environments.choices import Role
from environments.memberships import grant_membership
from environments.models import AccessRequest, Organisation

ROWS, MESSAGES, DAYS, TIMES = 50, 50, 365, 60
EMPTY, FRAME = "daily/empty/", "daily/frame/"


def show_nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@in_organisation()
def show_frame(request: HttpRequest, organisation: Organisation) -> HttpResponse:
    return HttpResponse(engines["django"].from_string('{% extends "base.html" %}').render({}, request))


urlpatterns = [
    path(EMPTY, show_nothing),
    path(f"<slug:slug>/{FRAME}", show_frame),
    path("", include("studio.urls")),
]


def run() -> list[Measured]:
    environments, now = create_environments(ROWS, "daily", days=DAYS), timezone.now()
    environment, agency = environments[0], Organisation.objects.get(slug="bench-daily")
    visitor = create_people(agency, environment)
    create_conversations(environment, now)
    create_runs(environments, now)
    ground.keep_copy("daily")
    ground.restore_copy("daily")
    ground.drop_copy("daily")
    logging.disable()  # a line for each request
    with override_settings(ROOT_URLCONF=__name__):
        known, stranger = Client(SERVER_NAME="localhost"), Client(SERVER_NAME="localhost")
        known.force_login(visitor)
        empty = Page(known, f"/{EMPTY}")
        pages = {name: Page(known, address) for name, address in addresses(agency, environment).items()}
        pages["log-in"] = Page(stranger, "/login/")
        run_in_turn(TIMES, empty, *pages.values())
    logging.disable(logging.NOTSET)
    return [page.beside(empty, name) for name, page in pages.items()]


def addresses(agency: Organisation, environment: Organisation) -> dict[str, str]:
    here, contact = f"/{environment.slug}", Contact.objects.filter(environment=environment).earliest("pk")
    conversation = Conversation.objects.filter(environment=environment).earliest("pk")
    return {
        "the frame alone": f"{here}/{FRAME}",
        "home": f"{here}/",
        "conversations": f"{here}/conversations/",
        "a conversation": f"{here}/conversations/{conversation.uuid}/",
        "contacts": f"{here}/contacts/",
        "a contact": f"{here}/contacts/{contact.uuid}/",
        "members": f"{here}/members/",
        "access requests": f"{here}/access-requests/",
        "settings": f"{here}/settings/",
        "advanced settings": f"{here}/settings/advanced/",
        "retention ledger": f"{here}/retention/",
        "a run": f"/{agency.slug}/retention/runs/{PurgeRun.objects.latest('pk').pk}/",
        "audit log": f"{here}/audit/",
        "organisation": f"/{agency.slug}/organisation/",
        "compliance": f"/{agency.slug}/compliance/",
        "profile": "/profile/",
        "security": "/profile/security/",
    }


class Page(Watch):
    """The duration of each request for one address, and the queries of a second one."""

    def __init__(self, visitor: Client, address: str) -> None:
        super().__init__()
        self.visitor, self.address = visitor, address
        self.request()
        with CaptureQueriesContext(connection) as captured:
            self.request()
        self.queries = len(captured)

    def request(self) -> None:
        answer = self.visitor.get(self.address)
        assert answer.status_code == 200, (self.address, answer.status_code)

    def __call__(self) -> None:
        with self.running():
            self.request()

    def beside(self, empty: "Page", name: str) -> Measured:
        note = f"{self.median * 1000:.1f} and {empty.median * 1000:.1f} ms; {self.queries} queries, {empty.queries}"
        return Measured(f"page: {name}", "an empty page", self.median, empty.median, None, note)


# -- What the pages show ------------------------------------------------------------------------


def create_people(agency: Organisation, environment: Organisation) -> User:
    """Create members, people who ask for access, and an administrator of the agency with so many sessions."""
    for number in range(ROWS):
        member = User.objects.create_user(f"member-{number}@bench.example", name=f"Member {number}")
        grant_membership(member, environment, roles=[Role.MEMBER], by=SYSTEM)
        asking = User.objects.create_user(f"asking-{number}@bench.example", name=f"Asking {number}")
        AccessRequest.objects.create(organisation=environment, user=asking, message="For the bots.")
    visitor = User.objects.create_user("daily@bench.example", "Bench-Horse-9", name="Daily")
    grant_membership(visitor, agency, roles=[Role.ADMINISTRATOR], by=SYSTEM)
    SessionRecord.objects.bulk_create(
        SessionRecord(user=visitor, key_hash=f"{number}", opened_by=OpenedBy.PASSWORD, backend="x", address="::1")
        for number in range(ROWS)
    )
    return visitor


def create_conversations(environment: Organisation, now: datetime) -> None:
    """Store conversations with a contact each, and as many more of the first contact."""
    set_limit(environment, DAYS)
    store_conversations([Plan(environment.pk, ROWS, oldest=60, span=60)], messages=MESSAGES, now=now)
    first = Contact.objects.filter(environment=environment).earliest("pk")
    store_conversations([Plan(environment.pk, ROWS, oldest=50, span=50, first=ROWS)], messages=MESSAGES, now=now)
    further = [f"{environment.pk}-{number}" for number in range(ROWS, 2 * ROWS)]
    Conversation.objects.filter(environment=environment, external_id__in=further).update(contact=first)


def create_runs(environments: list[Organisation], now: datetime) -> None:
    """Create runs with a receipt in each environment."""
    for number in reversed(range(ROWS)):
        began = now - timedelta(minutes=10 * (number + 1))
        run = PurgeRun.objects.create(
            as_of=began, started_at=began, finished_at=began, state=RunState.DONE, batch_count=1, messages=10
        )
        cutoff = began - timedelta(days=DAYS)
        Receipt.objects.bulk_create(
            Receipt(run=run, environment=each, environment_label=each.name, days=DAYS, cutoff=cutoff, messages=10)
            for each in environments
        )
