"""Who downloads something is in the audit log: every address of the resolver is opened, and a new one is found too."""

from collections.abc import Iterator

import pytest
from django.db import transaction

from audit.models import Event
from environments.choices import Role
from tests.authorization.expected import OF_ORGANISATIONS
from tests.authorization.test_matrix import address_of, routes
from tests.authorization.world import World, stored_file
from tests.logging_in import logged_in_client

pytestmark = pytest.mark.django_db
IS_DOWNLOAD = r"\.(downloaded|exported)$"


@pytest.fixture
def world(db) -> Iterator[World]:
    with stored_file():
        yield World()


def downloads(client, addresses: dict[str, str]) -> dict[str, list[str]]:
    """Return the actions of the events that each of the addresses writes whose answer is a file to download."""
    found = {}
    for view, address in addresses.items():
        before = transaction.savepoint()
        response = client.get(address)
        is_file = response.get("Content-Disposition", "").startswith("attachment")
        if response.streaming:
            b"".join(response)
        if is_file:
            found[view] = list(Event.objects.filter(action__regex=IS_DOWNLOAD).values_list("action", flat=True))
        transaction.savepoint_rollback(before)
    return found


def test_every_download_is_an_event(world):
    things, found = world.account_of(world.root), {}
    for target in world.targets.values():
        own = {**things, **target.arguments, "slug": target.node.slug}
        addresses = {view: address_of(view, own, target.node.slug) for view in routes()}
        found |= downloads(logged_in_client(world.root), addresses)
    assert {view for view, actions in found.items() if len(actions) != 1} == set()
    assert len(found) >= 16  # files of the agency, the ledger, the audit log, and of conversations
    assert found["agencies:users-csv"] == ["users.downloaded"]


def test_a_second_download_within_the_hour_is_none(world):
    customer = world.targets["a customer"]
    client = logged_in_client(world.person(Role.ADMINISTRATOR, customer.node))
    files = [view for view in OF_ORGANISATIONS if view.startswith("agencies:") and view.endswith("-csv")]
    for _ in range(2):
        for view in files:
            assert client.get(address_of(view, customer.arguments, customer.node.slug)).status_code == 200
    actions = Event.objects.filter(action__regex=IS_DOWNLOAD).values_list("action", flat=True)
    assert sorted(actions) == [
        "bulk_change.downloaded",
        "compliance.downloaded",
        "environments.downloaded",
        "usage.downloaded",
        "users.downloaded",
    ]
