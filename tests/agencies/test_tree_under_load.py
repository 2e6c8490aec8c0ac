"""Many people move, lock, set, suspend and create at once: at every moment each effective value is the oracle's."""

import random
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection, transaction

from agencies.bulk.services import run_bulk_change, start_bulk_change
from agencies.bulk.wanted import Wanted
from agencies.organisations import services
from archival.models import PolicyChange
from archival.policy.services import apply_due_changes, change_retention
from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import Kind, MfaSetting, Role
from environments.models import MfaChange, Organisation
from environments.policies import mfa_schedule
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from environments.tree.services import create_organisation
from tests.at_once import at_once
from tests.environments.test_effective_values import KINDS, check_everything, check_tree, disturb, plant
from tests.factories import NOW, conversation, member

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]
PEOPLE, ACTS, NODES = 6, 80, 40
LATER = NOW + timedelta(days=8)


def pick(draw: random.Random, **fields: object) -> Organisation:
    return draw.choice(list(Organisation.objects.filter(**fields)))


def move(draw: random.Random) -> None:
    node = pick(draw, depth__gt=1)
    services.move(node, to=pick(draw, kind__in=KINDS[: Kind(node.kind).rank]), by=SYSTEM, now=NOW)


def suspend_or_resume(draw: random.Random) -> None:
    (services.suspend if draw.random() < 0.5 else services.resume)(
        pick(draw, depth__gt=1, numchild__gt=0), by=SYSTEM, now=NOW
    )


def create(draw: random.Random) -> None:
    parent, kind = pick(draw), draw.choice(KINDS)
    create_organisation("New", kind=kind, slug=f"new-{draw.getrandbits(60)}", parent=parent, by=SYSTEM, now=NOW)


def change_later(draw: random.Random) -> None:
    to = Retention.limit(draw.choice([20, 90, 365]), locked=draw.random() < 0.3)
    change_retention(pick(draw), to=to, by=SYSTEM, now=NOW)
    mfa_schedule.schedule_mfa(pick(draw), to=MfaRule(draw.choice(MfaSetting.values)), acts_at=LATER, by=SYSTEM, now=NOW)


def change_what_is_due(draw: random.Random) -> None:
    apply_due_changes(now=LATER)
    mfa_schedule.apply_due_changes(now=LATER)


def change_many(draw: random.Random, *, by: Caller) -> None:
    chosen = list(Organisation.objects.environments().live().order_by("?")[:5])
    wanted = Wanted(Retention.limit(draw.choice([30, 90])), mfa=MfaRule(draw.choice(MfaSetting.values)))
    run_bulk_change(start_bulk_change(pick(draw, depth=1), chosen, wanted=wanted, by=by, now=NOW), seconds=60)


def check_one_moment() -> None:
    """Compare everything as it was at one moment, while the others go on."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        check_everything()
        check_tree()


def work(seed: int, nodes: list[Organisation], by: Caller) -> None:
    draw = random.Random(seed)
    others = [create, change_later, change_what_is_due, partial(change_many, by=by)]
    for number in range(ACTS):
        # Refused: of the wrong rank, looser than a lock, there already, or changed by somebody else meanwhile.
        with suppress(ValidationError, PermissionDenied):
            draw.choice([move, suspend_or_resume, lambda draw: disturb(draw, nodes), draw.choice(others)])(draw)
        if number % 5 == seed % 5:
            check_one_moment()


def test_under_load_every_effective_value_is_that_of_the_oracle_at_every_moment():
    draw = random.Random(12)
    nodes = plant(draw, NODES)
    for node in draw.sample(nodes, 20):
        member(node, draw.choice(Role.values))
        if node.kind == Kind.ENVIRONMENT:
            conversation(of=node, days_ago=[100, 25])
    by = Caller.of(member(nodes[0]))

    at_once(*(partial(work, seed, nodes, by) for seed in range(PEOPLE)))

    check_one_moment()
    done = dict.fromkeys(Event.objects.values_list("action", flat=True))
    assert {
        *("organisation.moved", "organisation.created", "organisation.suspended", "organisation.resumed"),
        *("retention.changed", "mfa_requirement.changed", "bulk_change.finished"),
    } <= done.keys()
    assert {"pending", "applied"} <= set(PolicyChange.objects.values_list("state", flat=True))
    assert MfaChange.objects.filter(state="applied").exists()
