"""Workers of a bulk change killed at random points: every environment becomes what one change after the other makes it.

Each is changed once, and each person gets one mail.
"""

import random
import time
from contextlib import contextmanager

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from agencies.bulk.services import end_bulk_change, run_bulk_change, start_bulk_change
from agencies.bulk.wanted import Wanted
from agencies.models import BulkChange
from archival.models import PolicyChange
from archival.policy.services import change_retention
from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import Kind
from environments.models import Organisation
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa, set_retention
from tests.archival.limits import archive_after
from tests.archival.test_kill import kill, start_worker, wait_until_connected
from tests.factories import conversation, environment, member, organisation
from tests.mailbox import clear_mails, sent_mails

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("beat"), pytest.mark.faults]
KILLS = 20
WANTED = Wanted(retention=Retention.limit(90), mfa=MfaRule.off())
SETTINGS = ("archival", "archive_after_days", "effective_archive_after_days", "require_mfa", "effective_require_mfa")


def make_agency(seed: int) -> Organisation:
    """Create an agency whose environments have data, limits and locks above of every kind, by the seed."""
    chance, now = random.Random(seed), timezone.now()
    agency = organisation(Kind.AGENCY)
    for group in range(6):
        customer = organisation(Kind.CUSTOMER, parent=agency, name=f"Customer {group}")
        if group == 4:
            set_retention(customer, to=Retention.limit(30, locked=True), by=SYSTEM, now=now)
        if group == 5:
            set_require_mfa(customer, to=MfaRule.on(locked=True), by=SYSTEM, now=now)
        for number in range(12):
            made = environment(parent=customer, name=f"Environment {group}.{number}")
            if chance.random() < 0.5 and group != 4:
                archive_after(made, chance.choice([60, 90, 365, None]))
            if chance.random() < 0.5:
                conversation(of=made, days_ago=chance.choice([50, 100, 400]), now=now)
    return agency


def what_became_of(agency: Organisation) -> dict[str, list[object]]:
    """Return the settings, changes and events of each environment by its name, without clocks and keys."""
    found: dict[str, list[object]] = {}
    for node in Organisation.objects.below(agency).environments():
        changes = PolicyChange.objects.filter(organisation=node).order_by("pk")
        events = Event.objects.filter(organisation_id=node.pk, action__regex="^(retention|mfa)").order_by("pk")
        found[node.name] = [
            [getattr(node, name) for name in SETTINGS],
            list(changes.values_list("archival", "days", "locked", "state", "preview", "awaits_announcement")),
            list(events.values_list("action", "before")),
        ]
    return found


def change_one_by_one(agency: Organisation, *, by: Caller) -> None:
    for node in Organisation.objects.below(agency).environments():
        try:
            with transaction.atomic():  # both or none
                change_retention(node, to=WANTED.retention, by=by, now=timezone.now())
                set_require_mfa(node, to=WANTED.mfa, by=by, now=timezone.now())
        except ValidationError:
            assert node.name.startswith(("Environment 4", "Environment 5"))  # of a customer that locks one of them


@contextmanager
def slow_items():
    """Make every environment take a moment inside its transaction, so that the work outlasts the kills anywhere."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(0.07); RETURN NEW; END';"
            "CREATE TRIGGER take_time BEFORE UPDATE ON agencies_bulkitem FOR EACH ROW EXECUTE FUNCTION take_time()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION take_time CASCADE")


def test_killed_at_twenty_random_points_a_bulk_change_is_what_changes_one_by_one_are():
    plain, bulk = make_agency(3), make_agency(3)
    people = [member(bulk), member(Organisation.objects.below(bulk).environments()[0])]
    by = Caller.of(people[0])
    change_one_by_one(plain, by=SYSTEM)
    clear_mails()
    environments = list(Organisation.objects.below(bulk).environments())
    job = start_bulk_change(bulk, environments, wanted=WANTED, by=by, now=timezone.now())

    def work() -> None:
        while True:
            run_bulk_change(BulkChange.objects.get(pk=job.pk), seconds=60)

    chance = random.Random(11)
    hits, left_at = 0, []
    with slow_items():
        workers = [start_worker(work) for _ in range(2)]
        try:
            for _ in range(KILLS):
                pid, _work = workers.pop(0)
                wait_until_connected(pid)
                time.sleep(chance.uniform(0.005, 0.3))
                hits += kill(pid)
                left_at.append(job.items.exclude(state="waiting").count())
                workers.append(start_worker(work))
        finally:
            for pid, _work in workers:
                kill(pid)
    assert hits >= 5, "enough of them died in the middle of a transaction"
    assert len(set(left_at)) > KILLS / 3, "and all along"
    assert left_at[-1] < len(environments), "not after the end"
    finish(job)

    assert what_became_of(bulk) == what_became_of(plain)
    assert Event.objects.filter(action="bulk_change.finished").count() == 1
    assert sorted(to for each in sent_mails() for to in each.to) == sorted(person.email for person in people)


def finish(job: BulkChange) -> None:
    """Run until the job has ended: a killed worker's backend can hold its locks a moment longer."""
    deadline = time.monotonic() + 30
    while job.is_running and time.monotonic() < deadline:
        run_bulk_change(job, seconds=60)
        job.refresh_from_db()
    assert not job.is_running
    assert not end_bulk_change(job)
