"""Measure what the gate adds to a request of a person with access to 10,000 environments through their agency.

The guard is measured with it and counted apart: it asks whether the session was ended, whatever MFA says.
"""

import logging
import time
from contextlib import ExitStack
from statistics import median
from typing import Any
from unittest.mock import patch

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.choices import Decision
from accounts.models import User
from benchmarks.measure import Measured, Watch, run_in_turn
from environments.caller import SYSTEM
from environments.choices import Kind
from environments.memberships import grant_membership
from environments.models import Organisation
from environments.tree.services import create_organisation

ENVIRONMENTS, TIMES = 10_000, 300
MOST_ADDED_SECONDS = 0.001
# This view is behind the gate and refuses GET without a query, so what is measured is the frame itself.
PAGE = "/profile/security/sessions/end/"


def run() -> list[Measured]:
    agency = create_organisation("Gate", kind="agency", slug="bench-gate", by=SYSTEM)
    step = Organisation.steplen
    Organisation.objects.bulk_create(
        Organisation(
            path=agency.path + Organisation._int2str(number).rjust(step, "0"),
            depth=2,
            kind=Kind.ENVIRONMENT,
            name=f"Environment {number}",
            slug=f"bench-gate-{number}",
        )
        for number in range(1, ENVIRONMENTS + 1)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE environments_organisation")  # as autovacuum does soon after many inserts
    user = User.objects.create_user("gate@bench.example", "Bench-Horse-9")
    grant_membership(user, agency, roles=["administrator"], by=SYSTEM)
    visitor = Client(SERVER_NAME="localhost")
    visitor.force_login(user)
    record = user.sessions.get()
    no_gate = patch("accounts.gate.decide", return_value=Decision.LET_IN)
    no_guard = patch("accounts.sessions.services.SessionGuard.find", return_value=record)
    on, off, neither = Way(visitor), Way(visitor, no_gate), Way(visitor, no_gate, no_guard)
    logging.disable()  # a line for each of thousands of requests
    warm_up(on, off, neither)
    run_in_turn(TIMES, on, off, neither)
    logging.disable(logging.NOTSET)
    scenario = f"a request by a user with {ENVIRONMENTS:,} environments"
    return [
        compare_requests(scenario, "gate off", on, off, bar_seconds=MOST_ADDED_SECONDS),
        compare_requests(scenario, "gate and guard off", on, neither, bar_seconds=None),
    ]


class Way:
    """A request with some parts patched away; stores the duration of each, and the number of queries of one."""

    def __init__(self, visitor: Client, *patches: Any) -> None:
        self.visitor, self.patches, self.watch = visitor, patches, Watch()
        with ExitStack() as stack, CaptureQueriesContext(connection) as captured:
            self.send_request(stack)
        self.queries = len(captured)

    def send_request(self, stack: ExitStack) -> None:
        for each in self.patches:
            stack.enter_context(each)
        with self.watch.running():
            assert self.visitor.get(PAGE).status_code == 405

    def __call__(self) -> None:
        with ExitStack() as stack:
            self.send_request(stack)


def compare_requests(scenario: str, other: str, on: Way, off: Way, *, bar_seconds: float | None) -> Measured:
    """Compare request by request, each with the one right after it, so that noise affects both alike."""
    pairs = zip(on.watch.seconds, off.watch.seconds, strict=True)
    added = median(ours - theirs for ours, theirs in pairs)
    base = off.watch.median
    n = on.queries - off.queries
    note = f"adds {added * 1000:.2f} ms and {n} {'query' if n == 1 else 'queries'} to a request"
    bar = None if bar_seconds is None else 1 + bar_seconds / base
    return Measured(scenario, other, base + added, base, bar, note)


def warm_up(*ways: Way) -> None:
    until = time.monotonic() + 1
    while time.monotonic() < until:
        for way in ways:
            way()
    for way in ways:
        way.watch.seconds.clear()
