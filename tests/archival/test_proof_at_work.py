"""The proof in its daily work: it ends on large tables, and never holds more than one worker."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from archival import tasks
from archival.evidence.proof import check_all_environments
from archival.models import Proof
from conversations.models import Contact, Conversation, Message
from tests.archival.connections import run_aside, wait_until_waiting
from tests.archival.limits import archive_after
from tests.factories import environment

MANY = 4000
ITEMS = ("conversations_message", "conversations_conversation", "conversations_contact", "conversations_attachment")


def many_conversations(acme, now):
    at = now - timedelta(days=3)
    told = {"environment": acme, "last_activity_at": at}
    people = Contact.objects.bulk_create(Contact(external_id=f"c{number}", **told) for number in range(MANY))
    talks = Conversation.objects.bulk_create(
        Conversation(contact=person, external_id=person.external_id, channel="web", oldest_item_at=at, **told)
        for person in people
    )
    Message.objects.bulk_create(
        Message(conversation=talk, environment_id=talk.environment_id, seq=seq, role="user", text="x", sent_at=at)
        for talk in talks
        for seq in range(3)
    )


def estimate(cursor, sql, values=None):
    cursor.execute(f"EXPLAIN {sql}", values)
    return float(re.search(r"cost=[\d.]+\.\.([\d.]+)", cursor.fetchone()[0])[1])


class Estimates:
    """Ask PostgreSQL what each statement about items is going to cost, and whether it has a time limit."""

    def __init__(self):
        self.costs, self.limits = [], set()

    def __call__(self, execute, sql, params, many, context):
        if any(table in sql for table in ITEMS) and not sql.startswith("EXPLAIN"):
            with connection.connection.cursor() as cursor:
                self.costs.append(estimate(cursor, sql, params))
                cursor.execute("SHOW statement_timeout")
                self.limits.add(cursor.fetchone()[0])
        return execute(sql, params, many, context)


@pytest.mark.django_db
def test_the_proof_costs_a_few_sequential_reads_with_the_least_memory():
    now = timezone.now()
    many_conversations(archive_after(environment(), 30), now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute("SET LOCAL work_mem = '64kB'")
        reading = sum(estimate(cursor, f"SELECT count(*) FROM {table}") for table in ITEMS)
    estimates = Estimates()

    with connection.execute_wrapper(estimates):
        check_all_environments(now=now)

    assert estimates.costs
    assert sum(estimates.costs) < 10 * reading


@pytest.mark.django_db
def test_each_statement_of_the_proof_has_a_time_limit():
    estimates = Estimates()

    with connection.execute_wrapper(estimates):
        check_all_environments(now=timezone.now())

    assert "0" not in estimates.limits


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.mark.django_db(transaction=True)
def test_a_second_proof_beside_the_first_leaves_its_worker_at_once(pool):
    environment()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE conversations_message IN ACCESS EXCLUSIVE MODE")
        first = run_aside(pool, tasks.check_retention)
        wait_until_waiting()

        run_aside(pool, tasks.check_retention).result(timeout=20)

        assert not first.done()
    first.result(timeout=20)
    assert Proof.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_proof_whose_worker_died_is_made_again_once_its_turn_has_expired(caplog):
    environment()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO archival_lease (name, holder, taken_at, expires_at) VALUES"
            " ('check_retention', 'worker-7 of old', now(), now() + interval '1 minute')"
        )
    tasks.check_retention()
    assert "worker-7 of old" in caplog.text
    assert not Proof.objects.exists()

    with connection.cursor() as cursor:
        cursor.execute("UPDATE archival_lease SET expires_at = now() - interval '1 second'")
    tasks.check_retention()

    assert Proof.objects.count() == 1


def test_a_proof_that_does_not_end_gives_its_worker_back_before_the_next_beat():
    limits = (tasks.check_retention.soft_time_limit, tasks.check_retention.time_limit)

    assert all(limit and limit <= 600 for limit in limits)
