"""The ledger says what was deleted here: by whose name, nothing of others, and nothing that was not so."""

import json
import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.utils import timezone

from archival.choices import RunState
from archival.engine.run import close_run, purge
from archival.evidence import receipts
from archival.holds.services import place_hold
from archival.journal.receipt_file import summarise
from archival.models import PurgeRun, Receipt
from archival.policy.services import apply_change_now, change_retention
from archival.requests.deletion import delete_organisation
from archival.requests.erasure import erase_contact
from environments.caller import SYSTEM, Caller
from environments.choices import Kind
from environments.models import Organisation
from environments.policies.retention import Retention
from environments.tree.services import move_organisation
from tests.archival.limits import archive_after
from tests.browser import log_in_page
from tests.factories import contact, conversation, environment, member, organisation
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme", name="Acme", parent=organisation(slug="agency")), 30)


def test_the_deletion_of_another_organisation_is_no_run_of_ours_and_leaves_us_no_receipt(client, acme):
    now = timezone.now()
    conversation(of=acme, days_ago=31, now=now)
    place_hold(acme, reason="dispute", by=SYSTEM, now=now)
    other = environment()
    conversation(of=other)
    run = delete_organisation(other, by=SYSTEM, now=now)
    log_in(client, member(acme))

    assert not Receipt.objects.filter(environment=acme).exists()
    assert not client.get("/acme/retention/").context["entries"]
    assert client.get(f"/acme/retention/runs/{run.pk}/").status_code == 404


def test_with_rows_means_rows_of_ours(client, acme):
    now = timezone.now()
    other = archive_after(environment(), 30)
    conversation(of=other, days_ago=31, now=now)
    purge(now=now)
    log_in(client, member(acme))
    assert not client.get("/acme/retention/?only=rows").context["entries"]

    conversation(of=acme, days_ago=31, now=now)
    run = purge(now=now)

    assert [entry.run for entry in client.get("/acme/retention/?only=rows").context["entries"]] == [run]


def test_the_progress_of_a_run_counts_what_goes_here_and_nothing_of_others(client, acme):
    run = PurgeRun.objects.create(as_of=timezone.now(), messages=9876)
    cutoff = acme.cutoff(run.as_of)
    Receipt.objects.create(run=run, environment=acme, environment_label="Acme", days=30, cutoff=cutoff, messages=12)
    log_in(client, member(acme))

    for page in ("/acme/retention/", "/acme/retention/progress/"):
        shown = client.get(page).text
        assert "12 messages deleted here so far" in shown
        assert "9,876" not in shown


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_progress_of_a_run_is_followed_without_a_reload_until_its_receipt_is_there(page, acme):
    run = PurgeRun.objects.create(as_of=timezone.now())
    receipt = Receipt.objects.create(
        run=run, environment=acme, environment_label="Acme", days=30, cutoff=acme.cutoff(run.as_of), messages=12
    )
    log_in_page(page, member(acme, email="ada@acme.test"))
    page.goto("/acme/retention/")
    page.get_by_text("12 messages deleted here so far").wait_for()

    Receipt.objects.filter(pk=receipt.pk).update(messages=2345)
    page.get_by_text("2,345 messages deleted here so far").wait_for()

    close_run(run, state=RunState.DONE)
    page.get_by_role("row", name="Done").wait_for()
    assert page.get_by_role("heading", name="Running now").count() == 0


def test_receipts_of_environments_with_one_name_have_different_numbers(client):
    agency = organisation(slug="agency")
    alike = [archive_after(environment(parent=agency, name="Production"), 30) for _ in range(2)]
    for each in alike:
        conversation(of=each, days_ago=31, now=timezone.now())
    purge(now=timezone.now())
    log_in(client, member(agency))

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
    close_run(run, state=state)

    assert run.receipts.get().oldest_after == young.last_activity_at


def test_a_run_that_ends_while_receipts_are_read_is_not_shown_as_zeros(acme):
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
        told = [(line["run"], line["messages"]) for line in receipts.receipts_as_json(acme)]

    first, second = PurgeRun.objects.order_by("pk")
    assert told == [(first.pk, 0)]
    assert [(line["run"], line["messages"]) for line in receipts.receipts_as_json(acme)] == [
        (second.pk, 1),
        (first.pk, 0),
    ]


@pytest.mark.parametrize("name", ["=1+1", " =1+1", "\uff1d1+1", "@SUM(1)"])
def test_the_csv_has_no_formulas(client, acme, name):
    acme.name = name
    acme.save(update_fields=["name"])
    purge(now=timezone.now())
    log_in(client, member(acme))

    lines = b"".join(client.get("/acme/retention/receipts.csv").streaming_content).decode("utf-8-sig").splitlines()

    assert f",'{name}," in lines[1]
    assert client.get("/acme/retention/receipts.json").json()["receipts"][0]["environment"] == name


def run_of(day, acme, *, messages):
    """A finished run of that day at 23:30 in Amsterdam, an hour before the next day there begins in UTC."""
    at = datetime.combine(day, time(23, 30), ZoneInfo("Europe/Amsterdam"))
    run = PurgeRun.objects.create(as_of=at, started_at=at, state=RunState.DONE, finished_at=at, messages=messages)
    if messages:
        cutoff = at - timedelta(days=30)
        Receipt.objects.create(
            run=run, environment=acme, environment_label="Acme", days=30, cutoff=cutoff, messages=messages
        )
    return run


@pytest.fixture
def of_three_days(acme):
    Organisation.objects.filter(pk=acme.pk).update(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    return [run_of(date(2026, 11, day), acme, messages=messages) for day, messages in ((1, 5), (2, 0), (3, 7))]


def test_days_narrow_the_runs_and_every_download_alike(client, acme, of_three_days):
    log_in(client, member(acme))
    asked = {"start": "2026-11-02", "end": "2026-11-02"}

    page = client.get("/acme/retention/", asked)
    table = (
        b"".join(client.get("/acme/retention/receipts.csv", asked).streaming_content).decode("utf-8-sig").splitlines()
    )
    plain = client.get("/acme/retention/receipts.json", asked)
    signed = json.loads(client.get("/acme/retention/receipts.signed.json", asked).json()["signed"])

    second = of_three_days[1].pk
    assert [entry.run.pk for entry in page.context["entries"]] == [second]
    assert "receipts.signed.json?start=2026-11-02&amp;end=2026-11-02" in page.content.decode()
    assert [row.split(",")[0] for row in table] == ["run", str(second)]
    assert [receipt["run"] for receipt in plain.json()["receipts"]] == [second]
    assert "receipts-acme-2026-11-02-2026-11-02.json" in plain["Content-Disposition"]
    assert [receipt["run"] for receipt in signed["receipts"]] == [second]


def test_a_signed_file_names_its_days_so_that_a_part_is_not_taken_for_all(client, acme, of_three_days):
    log_in(client, member(acme))

    part = json.loads(client.get("/acme/retention/receipts.signed.json", {"end": "2026-11-02"}).json()["signed"])
    everything = json.loads(client.get("/acme/retention/receipts.signed.json").json()["signed"])

    assert (part["from"], part["until"]) == (None, "2026-11-02T23:00:00+00:00")
    assert "of runs until 2026-11-02T23:00:00+00:00" in summarise(part)
    assert [receipt["messages"] for receipt in part["receipts"]] == [0, 5]
    assert (everything["from"], everything["until"]) == (None, None)
    assert "of runs" not in summarise(everything)
    assert [receipt["messages"] for receipt in everything["receipts"]] == [7, 0, 5]


@pytest.mark.parametrize("odd", ["x", "0001-01-01", "9999-12-31", "2026-13-01", "\x00"])
def test_days_that_are_none_narrow_nothing_and_are_not_claimed(client, acme, of_three_days, odd):
    log_in(client, member(acme))
    asked = {"start": odd, "end": odd}
    signed = json.loads(client.get("/acme/retention/receipts.signed.json", asked).json()["signed"])
    assert (signed["from"], len(signed["receipts"])) == (None, 3)
    assert len(client.get("/acme/retention/", asked).context["entries"]) == 3


def test_where_no_run_matches_the_ledger_says_so(client, acme, of_three_days):
    log_in(client, member(acme))
    page = client.get("/acme/retention/", {"start": "2026-10-01", "end": "2026-10-02"}).content.decode()
    assert "No matching runs" in page
    assert "No runs yet" not in page


def test_receipts_of_a_deleted_environment_stay_with_whoever_stood_above_it(client, acme):
    now = timezone.now()
    market, agency = organisation(Kind.MARKET, slug="market"), Organisation.objects.get(slug="agency")
    move_organisation(agency, to=market, by=SYSTEM, now=now)
    acme = Organisation.objects.get(slug="acme")
    conversation(of=acme, days_ago=31, now=now)
    run = purge(now=now)
    conversation(of=acme, days_ago=1, now=now)
    erasure = erase_contact(conversation(of=acme, days_ago=1, now=now).contact, by=SYSTEM, now=now)
    deletion = delete_organisation(acme, by=SYSTEM, now=now)
    log_in(client, member(market))

    def told(slug):
        receipts = client.get(f"/{slug}/retention/receipts.json").json()["receipts"]
        return [(each["run"], each["environment"], each["messages"]) for each in receipts]

    assert told("agency") == [(deletion.pk, "Acme", 1), (run.pk, "Acme", 1)]
    assert client.get(f"/agency/retention/runs/{run.pk}/").context["entry"].counts["messages"] == 1
    assert client.get(f"/agency/retention/erased/{erasure.uuid}/signed.json").status_code == 200

    delete_organisation(Organisation.objects.get(slug="agency"), by=SYSTEM, now=now)

    assert (deletion.pk, "Acme", 1) in told("market")
    stranger = organisation(slug="stranger")
    log_in(client, member(stranger))
    assert "Acme" not in client.get("/stranger/retention/receipts.json").text
    assert client.get(f"/stranger/retention/erased/{erasure.uuid}/").status_code == 404


def runs(count, *, state=RunState.DONE):
    return [
        PurgeRun.objects.create(as_of=timezone.now(), state=state, finished_at=timezone.now())
        for _number in range(count)
    ]


def deleting(acme, **counts):
    (run,) = runs(1)
    cutoff = run.as_of - timedelta(days=30)
    Receipt.objects.create(run=run, environment=acme, environment_label="Acme", days=30, cutoff=cutoff, **counts)
    return run


def shape(response):
    """Return the rows of a ledger: the count of a fold, or the run of an entry."""
    return [getattr(entry, "count", None) or entry.run for entry in response.context["entries"]]


def test_runs_that_deleted_nothing_are_one_row_and_hide_none_that_did(client, acme):
    oldest = deleting(acme, messages=5)
    runs(70)
    deleting(environment(), messages=9)  # of others: nothing was deleted here
    failed = runs(1, state=RunState.FAILED)[0]
    (alone,) = runs(1)
    newest = deleting(acme, contacts=1)
    runs(144)
    log_in(client, member(acme))

    page = client.get("/acme/retention/")

    assert shape(page) == [144, newest, alone, failed, 71, oldest]
    assert "144 runs" in page.text
    assert shape(client.get("/acme/retention/?only=rows")) == [newest, oldest]


def test_a_fold_leads_to_each_of_its_runs(client, acme):
    kept_out = runs(1)[0]
    deleting(acme, messages=5)
    folded = runs(60)
    deleting(acme, messages=5)
    log_in(client, member(acme))
    link = re.search(r'href="(\?only=nothing[^"]+)">\s*60 runs', client.get("/acme/retention/").text)[1]
    address = f"/acme/retention/{link.replace('&amp;', '&')}"

    first, second = client.get(address), client.get(f"{address}&page=2")

    assert shape(first) + shape(second) == folded[::-1]
    assert kept_out not in shape(second)
    assert "Show all" in first.text


def test_what_waited_or_was_switched_off_folds_apart_from_what_found_nothing(client, acme):
    runs(3)
    runs(4, state=RunState.PAUSED)
    held = deleting(acme, held=1)  # keeps something, run after run, and deletes nothing
    runs(2, state=RunState.WAITING)
    guarded = deleting(acme, is_guarded=True)
    log_in(client, member(acme))

    page = client.get("/acme/retention/")

    assert shape(page)[0] == guarded
    assert sorted(shape(page)[1:]) == [4, 6]
    assert held in shape(client.get("/acme/retention/?only=nothing"))


def test_the_pages_of_a_ledger_have_every_run_once(client, acme):
    runs(2)
    for _number in range(60):
        deleting(acme, messages=1)
        runs(3)
    log_in(client, member(acme))

    first, second = (shape(client.get("/acme/retention/", {"page": number})) for number in (1, 2))

    counts = [row if isinstance(row, int) else 1 for row in (*first, *second)]
    assert sum(counts) == PurgeRun.objects.count() == 2 + 60 * 4
    assert [len([row for row in rows if not isinstance(row, int)]) for rows in (first, second)] == [50, 10]


def test_days_narrow_what_is_folded(client, acme, of_three_days):
    log_in(client, member(acme))
    first, second, third = of_three_days
    for _number in range(4):
        run_of(date(2026, 11, 4), acme, messages=0)
    page = client.get("/acme/retention/", {"start": "2026-11-02", "end": "2026-11-04"})
    assert shape(page) == [4, third, second]
    page = client.get("/acme/retention/", {"end": "2026-11-03"})
    assert shape(page) == [third, second, first]


@pytest.mark.parametrize("odd", ["0", "-1", "x", str(2**64), "\x00"])
def test_bounds_that_are_no_runs_narrow_nothing(client, acme, odd):
    runs(2)
    log_in(client, member(acme))
    assert client.get("/acme/retention/", {"first": odd, "last": odd}).status_code == 200


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_after_apply_now_the_ledger_shows_the_run_as_soon_as_it_has_been(page, acme):
    now = timezone.now()
    purge(now=now)
    conversation(of=acme, days_ago=20, now=now)
    user = member(acme, email="ada@acme.test")
    change = change_retention(acme, to=Retention.limit(10), by=Caller.of(user), now=now)
    log_in_page(page, user)
    page.goto(f"/acme/retention/changes/{change.uuid}/apply/")
    page.get_by_role("textbox").fill("Acme")
    page.get_by_role("main").get_by_role("button").first.click()
    page.get_by_text("The next run deletes data past its limit. It is shown").wait_for()
    page.get_by_label("From").fill("2026-01-01")

    run = purge(now=timezone.now())

    page.locator(f'a[href="/acme/retention/runs/{run.pk}/"]').wait_for()
    assert page.get_by_text("It is shown here as soon as it begins").count() == 0
    assert page.get_by_label("From").input_value() == "2026-01-01", "what was typed stays"


def test_a_ledger_waits_for_a_run_only_where_one_has_something_new_to_do(client, acme):
    now = timezone.now()
    purge(now=now)
    user = member(acme)
    log_in(client, user)
    progress = "/acme/retention/progress/?awaits=run"
    assert client.get(progress).headers["HX-Trigger"] == "runs-changed"
    conversation(of=acme, days_ago=20, now=now)
    change = change_retention(acme, to=Retention.limit(10), by=Caller.of(user), now=now)
    assert not client.get("/acme/retention/").context["figures"]["is_awaited"], "a change that waits starts no run"

    apply_change_now(change, typed_name="Acme", by=Caller.of(user), now=timezone.now())

    assert client.get("/acme/retention/").context["figures"]["is_awaited"]
    assert client.get(progress).status_code == 204
    purge(now=timezone.now())
    assert not client.get("/acme/retention/").context["figures"]["is_awaited"]
    assert client.get(progress).headers["HX-Trigger"] == "runs-changed"
