"""What the gate adds to a request of somebody who reaches 10,000 environments through his agency."""

import time
from collections.abc import Callable
from unittest.mock import patch

from django.db import connection
from django.test import Client

from accounts.choices import Decision
from accounts.models import User
from benchmarks.measure import Measured, Watch, in_turn
from environments.choices import Kind
from environments.models import Organisation
from environments.services import create_organisation, grant_membership

ENVIRONMENTS, TIMES = 10_000, 300
MOST_ADDED_SECONDS = 0.001
PAGE = "/healthz"  # asks nothing of the database itself, so that what is left is the frame's own


def run() -> list[Measured]:
    agency = create_organisation("Gate", kind="agency", slug="bench-gate", by=None)
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
        cursor.execute("ANALYZE environments_organisation")  # as autovacuum does soon after a load
    user = User.objects.create_user("gate@bench.example", "Bench-Horse-9")
    grant_membership(user, agency, roles=["administrator"], by=None)
    visitor = Client(SERVER_NAME="localhost")
    visitor.force_login(user)
    on, off = Watch(), Watch()

    def with_the_gate() -> None:
        with on.running():
            assert visitor.get(PAGE).status_code == 200

    def without_it() -> None:
        with patch("accounts.gate.decide", return_value=Decision.LET_IN), off.running():
            assert visitor.get(PAGE).status_code == 200

    warm_up(with_the_gate, without_it)
    on.seconds.clear()
    off.seconds.clear()
    in_turn(TIMES, with_the_gate, without_it)
    added = on.median - off.median
    note = f"the gate adds {added * 1000:.2f} ms to a request; the bar is {MOST_ADDED_SECONDS * 1000:.0f} ms"
    bar = 1 + MOST_ADDED_SECONDS / off.median
    scenario = f"a request by a user with {ENVIRONMENTS:,} environments"
    return [Measured(scenario, "gate off", on.median, off.median, bar, note)]


def warm_up(*ways: Callable[[], None]) -> None:
    until = time.monotonic() + 1
    while time.monotonic() < until:
        for way in ways:
            way()
