"""The ledger says what was deleted here: by whose name, nothing of others, and nothing that was not so."""

import json

import pytest
from django.db import connection
from django.utils import timezone

from archival import ledger
from archival.deletion import delete_organisation
from archival.holds import place_hold
from archival.models import PurgeRun, Receipt
from archival.purge import close, purge
from tests.archival.limits import archive_after
from tests.factories import contact, conversation, environment, member, organisation
from tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme", name="Acme", parent=organisation(slug="agency")), 30)


def test_the_deletion_of_another_organisation_is_no_run_of_ours_and_leaves_us_no_receipt(client, acme):
    now = timezone.now()
    conversation(of=acme, days_ago=31, now=now)
    place_hold(acme, reason="dispute", by=None, now=now)
    other = environment()
    conversation(of=other)
    run = delete_organisation(other, by=None, now=now)
    sign_in(client, member(acme))

    assert not Receipt.objects.filter(environment=acme).exists()
    assert not client.get("/acme/retention/").context["entries"]
    assert client.get(f"/acme/retention/runs/{run.pk}/").status_code == 404


def test_with_rows_means_rows_of_ours(client, acme):
    now = timezone.now()
    other = archive_after(environment(), 30)
    conversation(of=other, days_ago=31, now=now)
    purge(now=now)
    sign_in(client, member(acme))
    assert not client.get("/acme/retention/?only=rows").context["entries"]

    conversation(of=acme, days_ago=31, now=now)
    run = purge(now=now)

    assert [entry.run for entry in client.get("/acme/retention/?only=rows").context["entries"]] == [run]


def test_the_progress_of_a_run_counts_what_goes_here_and_nothing_of_others(client, acme):
    run = PurgeRun.objects.create(as_of=timezone.now(), messages=9876)
    cutoff = acme.cutoff(run.as_of)
    Receipt.objects.create(run=run, environment=acme, environment_label="Acme", days=30, cutoff=cutoff, messages=12)
    sign_in(client, member(acme))

    for page in ("/acme/retention/", "/acme/retention/progress/"):
        shown = client.get(page).text
        assert "12 messages deleted here so far" in shown
        assert "9,876" not in shown


def test_receipts_of_environments_with_one_name_can_be_told_apart(client):
    agency = organisation(slug="agency")
    alike = [archive_after(environment(parent=agency, name="Production"), 30) for _ in range(2)]
    for each in alike:
        conversation(of=each, days_ago=31, now=timezone.now())
    purge(now=timezone.now())
    sign_in(client, member(agency))

    signed = json.loads(client.get("/agency/retention/receipts.signed.json").json()["signed"])

    assert {receipt["environment_id"] for receipt in signed["receipts"]} == {each.pk for each in alike}
    assert signed["organisation_id"] == agency.pk


@pytest.mark.parametrize("state", ["done", "failed", "interrupted"])
def test_a_receipt_says_that_nothing_is_left_only_where_nothing_is(acme, state):
    now = timezone.now()
    conversation(of=acme, days_ago=31, now=now)
    run = purge(now=now)
    assert run.receipts.get().oldest_after is None

    young = contact(of=acme, days_ago=5, now=now)
    close(run, state=state)

    assert run.receipts.get().oldest_after == young.last_activity_at


def test_a_run_that_ends_while_receipts_are_read_is_not_told_as_zeros(acme):
    now = timezone.now()
    purge(now=now)
    conversation(of=acme, days_ago=31, now=now)
    seen = []

    def between(execute, sql, params, many, context):
        answer = execute(sql, params, many, context)
        if "archival" in sql and not seen:
            seen.append(sql)
            purge(now=now)
        return answer

    with connection.execute_wrapper(between):
        told = [(line["run"], line["messages"]) for line in ledger.statement(acme)]

    first, second = PurgeRun.objects.order_by("pk")
    assert told == [(first.pk, 0)]
    assert [(line["run"], line["messages"]) for line in ledger.statement(acme)] == [(second.pk, 1), (first.pk, 0)]


@pytest.mark.parametrize("name", ["=1+1", " =1+1", "\uff1d1+1", "@SUM(1)"])
def test_the_csv_has_no_formulas(client, acme, name):
    acme.name = name
    acme.save(update_fields=["name"])
    purge(now=timezone.now())
    sign_in(client, member(acme))

    lines = b"".join(client.get("/acme/retention/receipts.csv").streaming_content).decode().splitlines()

    assert f",'{name}," in lines[1]
    assert client.get("/acme/retention/receipts.json").json()["receipts"][0]["environment"] == name
