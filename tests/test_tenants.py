"""Tests of the tests: a statement of the product that forgets the environment fails the test that it is sent in."""

import ast as python
from functools import partial
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone
from pglast import ast

from archival.engine import statements
from archival.engine.run import purge
from archival.evidence.proof import check_all_environments
from archival.files.sweep import has_row
from archival.policy.counting import count_due
from archival.requests import erasure
from archival.requests.deletion import delete_organisation
from conversations.export import services as export
from conversations.ingest.append import append
from conversations.ingest.lines import check_conversation, check_messages
from conversations.ingest.services import store
from conversations.models import Blob, Message
from conversations.reading import queries
from environments.caller import SYSTEM
from tests import factories, tenants
from tests.archival.limits import archive_after
from tests.archival.test_mutants import break_
from tests.at_once import at_once
from tests.conversations.lines import line
from tests.logging_in import log_in
from tests.tenant_sql import EQUALITIES, TABLES, nodes, statements_in, uses_without_environment, without_environment
from tests.tenants import ON_PURPOSE, expected_violations, refuse_violations

M, C, ORGANISATION = "conversations_message", "conversations_conversation", "environments_organisation"
OF_ITS_CONVERSATION = "c.id = m.conversation_id AND c.environment_id = m.environment_id"
WITHOUT = {
    "no condition": f"SELECT count(*) FROM {M}",
    "a condition on something else": f"SELECT text FROM {M} WHERE conversation_id = %s AND seq = %s",
    "only one of two": f"SELECT 1 FROM {M} WHERE conversation_id = %s AND (environment_id = %s OR seq = %s)",
    "any other": f"SELECT 1 FROM {M} WHERE environment_id <> %s AND NOT environment_id = %s",
    "compared with itself": f"SELECT 1 FROM {M} m WHERE m.environment_id = environment_id",
    "a join alone": f"SELECT 1 FROM {M} m JOIN {C} c ON {OF_ITS_CONVERSATION}",
    "a join with organisations": f"""SELECT 1 FROM {C} c
        JOIN {ORGANISATION} o ON o.id = c.environment_id WHERE o.slug = %s""",
    "an outer join that keeps the others": f"""SELECT 1 FROM {M} m
        LEFT JOIN {C} c ON {OF_ITS_CONVERSATION} AND m.environment_id = %s""",
    "a joined table": f"SELECT 1 FROM {M} m JOIN {C} c ON c.id = m.conversation_id WHERE m.environment_id = %s",
    "a sub-query": f"""SELECT 1 FROM {C} c
        WHERE environment_id = %s AND EXISTS (SELECT FROM {M} WHERE conversation_id = c.id)""",
    "a query of WITH": f"""WITH m AS (SELECT * FROM {M} WHERE conversation_id = %s)
        SELECT 1 FROM m WHERE environment_id = %s""",
    "one half of a union": f"SELECT 1 FROM {M} WHERE environment_id = %s UNION SELECT 1 FROM {M}",
    "an update by id": f'UPDATE "{C}" SET "channel" = %s WHERE "{C}"."id" = %s',
    "an update from a list": f"""UPDATE {C} c SET channel = u.channel
        FROM unnest(%s, %s) u(id, channel) WHERE c.id = u.id""",
    "a delete by place": f"DELETE FROM {M} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {M} WHERE environment_id = %s))",
    "an insert": f"INSERT INTO {M} (conversation_id, seq) VALUES (%s, %s)",
    "a conflict": f"""INSERT INTO {M} (conversation_id, seq, environment_id) VALUES (%s, %s, %s)
        ON CONFLICT (conversation_id, seq) DO UPDATE SET text = EXCLUDED.text""",
    "some rows of a list": f"SELECT 1 FROM {M} WHERE (environment_id, seq) IN ((%s, %s), (environment_id, %s))",
}  # fmt: skip
WITH = {
    "a parameter": f'SELECT 1 FROM "{M}" WHERE ("{M}"."environment_id" = %s AND "{M}"."seq" = %s)',
    "a named parameter": f"SELECT 1 FROM {M} WHERE environment_id = %(environment)s AND text LIKE '%%x'",
    "one of several": f"SELECT 1 FROM {M} WHERE environment_id IN (%s, %s)",
    "one of an array": f"SELECT 1 FROM {M} WHERE environment_id = ANY(%(ids)s::bigint[])",
    "one of a query": f"SELECT 1 FROM {M} WHERE environment_id IN (SELECT id FROM {ORGANISATION} WHERE path LIKE %s)",
    "both of two": f"SELECT 1 FROM {M} WHERE (environment_id = %s AND seq = 1) OR (environment_id = %s AND seq = 2)",
    "rows of a list": f"SELECT 1 FROM {M} WHERE (environment_id, seq) IN ((%s, %s), (%s, %s))",
    "a joined table": f"SELECT 1 FROM {M} m JOIN {C} c ON {OF_ITS_CONVERSATION} WHERE m.environment_id = %s",
    "an outer join": f"SELECT 1 FROM {C} c LEFT JOIN {M} m ON {OF_ITS_CONVERSATION} WHERE c.environment_id = %s",
    "two outer joins": f"""SELECT 1 FROM unnest(%s, %s) p(environment_id, id)
        JOIN {C} c ON c.environment_id = p.environment_id AND c.id = p.id LEFT JOIN {M} m ON {OF_ITS_CONVERSATION}""",
    "the statement around it": f"""SELECT o.id, EXISTS (SELECT FROM {M} m WHERE m.environment_id = o.id)
        FROM {ORGANISATION} o""",
    "a query of WITH": f"""WITH due AS (SELECT environment_id, ctid AS at FROM {M} WHERE environment_id = %s)
        DELETE FROM {M} m USING due WHERE m.environment_id = due.environment_id AND m.ctid = due.at RETURNING seq""",
    "an update": f"UPDATE {C} c SET channel = '' FROM {M} m WHERE {OF_ITS_CONVERSATION} AND m.environment_id = %s",
    "an insert": f"INSERT INTO {M} (conversation_id, seq, environment_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
    "a conflict": f"""INSERT INTO {M} (conversation_id, seq, environment_id) VALUES (%s, %s, %s)
        ON CONFLICT (conversation_id, seq, environment_id) DO UPDATE SET text = EXCLUDED.text""",
    "no rows": f"TRUNCATE {M}",
    "another table": f"SELECT id FROM {ORGANISATION}",
}  # fmt: skip


@pytest.mark.parametrize("sql", WITHOUT.values(), ids=WITHOUT)
def test_a_use_without_the_environment_is_seen(sql):
    assert without_environment(sql)


@pytest.mark.parametrize("sql", WITH.values(), ids=WITH)
def test_a_use_with_the_environment_passes(sql):
    assert without_environment(sql) == ()


def test_a_statement_on_all_tenants_has_to_join_rows_of_one():
    kept_together = f"SELECT 1 FROM {M} m JOIN {C} c ON {OF_ITS_CONVERSATION}"
    apart = f"SELECT 1 FROM {M} m JOIN {C} c ON c.id = m.conversation_id"

    assert [use.is_apart for use in without_environment(kept_together)] == [False, False]
    assert [use.is_apart for use in without_environment(apart)] == [False, True]


# -- The product's own statements -----------------------------------------------------------------


@pytest.fixture
def made(client, acme):
    """A conversation in Acme, which keeps 30 days, with a file, and messages of yesterday and of forty days ago."""
    now = timezone.now()
    archive_after(acme, 30)
    made = factories.conversation(of=acme, days_ago=[40, 1], now=now)
    key = default_storage.save(f"{acme.pk}/file", ContentFile(b"file"))
    blob = Blob.objects.create(environment=acme, sha256=key, key=key, size=4)
    factories.attachment(of=made, blob=blob, at=now)
    log_in(client, factories.member(acme))
    return made


ACTS = {
    "lists": lambda client, made: [
        client.get("/acme/conversations/?q=Message").context["page"],
        client.get("/acme/contacts/?q=contact").context["page"],
        client.get("/acme/").content,
    ],
    "a conversation": lambda client, made: [
        client.get(f"/acme/conversations/{made.uuid}/").context["messages_shown"],
        client.get(f"/api/v1/environments/acme/conversations/{made.uuid}/messages/").json()["results"],
    ],
    "a contact": lambda client, made: client.get(f"/acme/contacts/{made.contact.uuid}/").context["page"],
    "an import": lambda client, made: store(
        made.environment, [check_conversation(line(variables={"key": 1}))], now=timezone.now()
    ),
    "an append": lambda client, made: append(
        made,
        messages=check_messages({"messages": [{"role": "bot", "text": "Yes"}]})[0],
        variables={"key": 1},
        now=timezone.now(),
    ),
    "an export": lambda client, made: export.export_contact(made.contact, now=timezone.now(), by=SYSTEM).read(),
    "an erasure": lambda client, made: erasure.erase_contact(made.contact, by=SYSTEM, now=timezone.now()),
    "a deletion": lambda client, made: delete_organisation(made.environment, by=SYSTEM, now=timezone.now()),
    "a preview": lambda client, made: count_due(now=timezone.now()),
    "the purge": lambda client, made: purge(now=timezone.now()),
    "the proof": lambda client, made: check_all_environments(now=timezone.now()),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.django_db
def test_no_filter_can_be_taken_out_unseen(client, made, act):
    sent = []

    def keep(execute, sql, *args):
        sent.append(sql)
        return execute(sql, *args)

    with connection.execute_wrapper(keep):
        assert act(client, made)

    filters = [(sql, number) for sql in dict.fromkeys(sent) for number in range(len(filters_in(statements_in(sql))))]
    assert filters
    for sql, number in filters:
        changed = statements_in(sql)
        for condition in filters_in(changed)[number]:
            condition.lexpr = condition.rexpr = ast.A_Const(isnull=False, val=ast.Integer(ival=1))
        left = [use for statement in changed for use in uses_without_environment(statement)]
        assert len(left) > len(without_environment(sql)), f"filter {number} of {sql}"


def filters_in(statements):
    """Return the conditions on the environment of each tenant's table: on either side, by the table's alias."""
    found = list(nodes(tuple(statements)))
    uses = [each for each in found if isinstance(each, ast.RangeVar) and each.relname in TABLES]
    equalities = [each for each in found if isinstance(each, ast.A_Expr) and each.kind in EQUALITIES]
    aliases = dict.fromkeys(use.alias.aliasname if use.alias else use.relname for use in uses)
    columns = [(alias, "environment_id") for alias in aliases] + [("environment_id",)] * bool(uses)
    by_table = [[each for each in equalities if column in (name(each.lexpr), name(each.rexpr))] for column in columns]
    return [conditions for conditions in by_table if conditions]


def name(expression):
    fields = expression.fields if isinstance(expression, ast.ColumnRef) else ()
    return tuple(each.sval for each in fields if isinstance(each, ast.String))


# A filter, what stands in its place, what sends it, and whose statement then fails the test.
FILTERS = {
    "of a list": (
        queries, "Conversation.objects.readable(now, environment=environment)", "Conversation.objects.all()",
        "lists", "conversations_conversation", "channels_of",
    ),
    "of a page": (
        queries, "Message.objects.readable(now, environment=conversation.environment)", "Message.objects",
        "a conversation", "conversations_message", "messages_of",
    ),
    "of an export": (
        export, "Message.objects.readable(now, environment=contact.environment).of_contact(contact)",
        "Message.objects.filter(conversation__contact=contact)",
        "an export", "conversations_message", "write_messages",
    ),
    "of an erasure": (
        erasure, '{"environment": environment, "conversation__in"', '{"conversation__in"',
        "an erasure", "conversations_attachment", "erase_contact",
    ),
    "of what the purge locks": (
        statements, "c.environment_id = o.id AND c.oldest_item_at", "c.oldest_item_at",
        "the purge", "conversations_conversation c", "lock_due",
    ),
    "of what the purge deletes": (
        statements, "v.environment_id = p.environment_id AND v.written_at", "v.written_at",
        "the purge", "conversations_conversationvariable v", "delete_items",
    ),
}  # fmt: skip


@pytest.mark.parametrize("taken_out", FILTERS.values(), ids=FILTERS)
@pytest.mark.django_db
def test_a_filter_taken_out_fails_the_test(client, made, monkeypatch, taken_out):
    module, old, new, act, table, function = taken_out
    break_(monkeypatch, module, old, new)

    with expected_violations():
        ACTS[act](client, made)
        with pytest.raises(AssertionError, match=f"{table}.*, in .*:{function}[ :]"):
            refuse_violations()


@pytest.mark.django_db
def test_statements_of_tests_are_their_own(made):
    with expected_violations() as seen:
        assert Message.objects.count() == 2
        made.refresh_from_db()

    assert seen == []


@pytest.mark.django_db(transaction=True)
def test_statements_of_other_threads_are_seen(monkeypatch):
    monkeypatch.setattr(tenants, "ON_PURPOSE", {})  # to see what has_row sends in any case

    with expected_violations() as seen:
        at_once(partial(has_row, "key"), partial(has_row, "other key"))

    assert [each.partition(":\n")[0] for each in seen] == [
        "conversations_blob conversations_blob, in archival/files/sweep.py:has_row"
    ]


def test_every_function_that_goes_over_all_environments_exists():
    for callers in ON_PURPOSE:
        for caller in callers.split(tenants.CALLED_BY):
            path, _, name = caller.partition(":")
            tree = python.parse(Path(tenants.ROOT, path).read_text())
            assert name in {each.name for each in tree.body if isinstance(each, python.FunctionDef)}


@pytest.mark.django_db
def test_tenants_tables_have_no_trigger_but_the_one_that_keeps_holds():
    """An engine of several nodes has no triggers on such tables; this one reads no other row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgname FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal"
            " AND c.relname = ANY(%s)",
            [sorted(TABLES)],
        )
        assert cursor.fetchall() == [("archival_hold_lasts",)]
