"""Effective values against a naive oracle: over random trees, moves and locks, and under concurrent changes."""

import random
from threading import Thread

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from environments.caller import SYSTEM
from environments.choices import Archival, Kind, MfaSetting
from environments.models import Organisation
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa, set_retention
from environments.tree.services import move_organisation, resume, suspend
from tests import factories
from tests.factories import NOW

KINDS = [Kind.MARKET, Kind.DISTRIBUTOR, Kind.AGENCY, Kind.CUSTOMER, Kind.ENVIRONMENT]


def expected(node: Organisation, nodes: dict[str, Organisation]) -> tuple[bool, int | None, bool]:
    """Walk up from a node, the way a person would: the nearest own value, then every lock above."""
    step = Organisation.steplen
    chain = [nodes[node.path[:end]] for end in range(len(node.path), 0, -step)]
    mfa = next((one.require_mfa == "on" for one in chain if one.require_mfa != "inherit"), False)
    days = next((one.archive_after_days for one in chain if one.archival != "inherit"), None)
    for one in chain:
        if one.require_mfa_locked:
            mfa = True
        if one.archival_locked:
            days = one.archive_after_days if days is None else min(days, one.archive_after_days)
    return mfa, days, any(one.suspended_at for one in chain)


def check_everything() -> None:
    nodes = {node.path: node for node in Organisation.objects.all()}
    stored = {
        node.slug: (node.effective_require_mfa, node.effective_archive_after_days, node.is_suspended)
        for node in nodes.values()
    }
    assert stored == {node.slug: expected(node, nodes) for node in nodes.values()}
    for node in nodes.values():
        check_sources(node, {one.pk: one for one in nodes.values()})


def check_sources(node: Organisation, by_pk: dict[int, Organisation]) -> None:
    """The named source stands above or here, and its own value is what holds."""
    for pk in (node.require_mfa_source_id, node.archival_source_id):
        assert pk is None or node.path.startswith(by_pk[pk].path)
    if node.require_mfa_source_id:
        assert (by_pk[node.require_mfa_source_id].require_mfa == "on") == node.effective_require_mfa
    else:
        assert node.effective_require_mfa is False
    if node.archival_source_id:
        assert by_pk[node.archival_source_id].archive_after_days == node.effective_archive_after_days
    else:
        assert node.effective_archive_after_days is None


def plant(draw: random.Random, size: int) -> list[Organisation]:
    """Grow a random forest."""
    nodes = [factories.organisation(Kind.MARKET)]
    for _number in range(size):
        parent = draw.choice([node for node in nodes if node.kind != Kind.ENVIRONMENT])
        kind = draw.choice(KINDS[KINDS.index(Kind(parent.kind)) + 1 :])
        nodes.append(factories.organisation(kind, parent=Organisation.objects.get(pk=parent.pk)))
    return nodes


def disturb(draw: random.Random, nodes: list[Organisation]) -> None:
    """Do one random thing to one random node; what the rules refuse changes nothing."""
    node = Organisation.objects.get(pk=draw.choice(nodes).pk)
    what = draw.randrange(6)
    try:
        if what <= 1:
            value = draw.choice(MfaSetting.values)
            set_require_mfa(node, to=MfaRule(value, value == "on" and draw.random() < 0.4), by=SYSTEM, now=NOW)
        elif what <= 3:
            archival = draw.choice(Archival.values)
            days = draw.choice([1, 30, 90, 365, 3650]) if archival == "limit" else None
            locked = days is not None and draw.random() < 0.4
            set_retention(node, to=Retention(archival, days, locked), by=SYSTEM, now=NOW)
        elif what == 4:
            to = draw.choice([None, *nodes])
            move_organisation(node, to=to and Organisation.objects.get(pk=to.pk), by=SYSTEM, now=NOW)
        else:
            (suspend if draw.random() < 0.5 else resume)(node, by=SYSTEM, now=NOW)
    except ValidationError:
        pass  # looser than a lock, a parent of the wrong rank, or below itself


@pytest.mark.django_db
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), size=st.integers(1, 14), changes=st.integers(1, 20))
def test_effective_values_are_those_of_a_simple_model(seed, size, changes):
    draw = random.Random(seed)
    Organisation.objects.all().delete()
    nodes = plant(draw, size)
    for _number in range(changes):
        disturb(draw, nodes)
    check_everything()
    check_tree()


def check_tree() -> None:
    """The library finds no fault, and every child stands below a higher rank."""
    assert Organisation.objects.find_problems() == ([], [], [], [], [])
    kinds = dict(Organisation.objects.values_list("path", "kind"))
    for path, kind in kinds.items():
        parent = kinds.get(path[: -Organisation.steplen])
        assert parent is None or Kind(parent).rank < Kind(kind).rank


@pytest.mark.django_db(transaction=True)
def test_effective_values_hold_under_concurrent_moves_and_changes():
    draw = random.Random(7)
    nodes = plant(draw, 25)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        mine = random.Random(seed)
        try:
            for _number in range(25):
                disturb(mine, nodes)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [Thread(target=work, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    check_everything()
    check_tree()
