"""The list of everything that somebody reaches."""

import re

import pytest
from django.utils import timezone

from environments.caller import SYSTEM
from environments.choices import Role
from environments.policies.resolve import resolve
from environments.policies.retention import Retention
from environments.policies.services import set_retention
from tests.factories import UserFactory, environment, member
from tests.logging_in import log_in
from tests.queries import count_queries

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(customer):
    return environment(parent=customer, slug="acme", name="Acme")


def suspend(node):
    node.suspended_at = timezone.now()
    node.save(update_fields=["suspended_at"])
    resolve(node, now=timezone.now())


def names(response):
    return re.findall(r'<th scope="row">\s*<a class="table__link" href="/[\w-]+/">([^<]*)</a>', response.text)


def test_it_lists_what_one_reaches_in_the_order_of_the_tree(client, agency, customer, acme, elsewhere):
    suspend(environment(parent=agency, name="Closed"))
    log_in(client, member(agency, Role.MEMBER))

    response = client.get("/organisations/")

    assert names(response) == ["Noorderlicht Digital", "Maasborg", "Acme"]
    assert "Secret" not in response.text


def test_it_hides_who_decided_above(client, agency, acme):
    set_retention(agency, to=Retention.limit(30), by=SYSTEM, now=timezone.now())
    log_in(client, member(acme))

    response = client.get("/organisations/")

    assert names(response) == ["Acme"]
    assert "set above" in response.text
    assert "Noorderlicht" not in response.text
    assert "Maasborg" not in response.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=maas", ["Maasborg"]),
        ("q=ACME", ["Acme"]),
        ("kind=environment", ["Acme"]),
        ("kind=agency&q=acme", []),
        ("kind=planet", ["Noorderlicht Digital", "Maasborg", "Acme"]),
        ("q=secret", []),
        ("q=%25", []),
        ("page=99", ["Noorderlicht Digital", "Maasborg", "Acme"]),
        ("page=x", ["Noorderlicht Digital", "Maasborg", "Acme"]),
    ],
)
def test_it_is_searched_by_name_short_name_and_kind(client, agency, acme, elsewhere, query, found):
    log_in(client, member(agency))

    assert names(client.get(f"/organisations/?{query}")) == found


def test_bad_bytes_in_a_search_are_no_error(client, acme):
    log_in(client, member(acme))

    assert client.get("/organisations/?q=%00").status_code == 200


def test_who_reaches_nothing_reads_what_to_do_next(client, elsewhere):
    log_in(client, UserFactory())

    assert "You have no organisations yet" in client.get("/organisations/").text


def test_it_costs_the_same_for_one_and_for_fifty(client, agency):
    log_in(client, member(agency))
    one = count_queries(lambda: client.get("/organisations/"))
    for _number in range(59):
        environment(parent=agency)
    assert len(names(client.get("/organisations/"))) == 50
    assert count_queries(lambda: client.get("/organisations/")) == one <= 7
