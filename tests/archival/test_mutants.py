"""Tests of the tests: every deliberate fault in the purge, a few characters long, is caught.

A fault puts other text in place of some in the purge's statements, the run or the outbox of
files. Most are caught by one purge of the plan that has every edge: for certain, not when chance has it.
"""

import inspect
from functools import partial
from types import FunctionType

import pytest
from django.db import IntegrityError, transaction

from archival.engine import run as purge
from archival.engine import statements
from archival.files import outbox as blobs
from archival.holds import coverage
from tests.archival import test_purge, test_races
from tests.archival.plans import EVERY_EDGE, check_purge
from tests.archival.test_purge import acme  # noqa: F401 - a fixture

HOURS = "hours => 24 * o.effective_archive_after_days"
LEFT_IN = "NOT EXISTS (SELECT FROM conversations_message m\n    WHERE"
STATEMENTS = {
    # Exactly N days stays, and each item goes by its own clock.
    "a message of exactly N days goes": ("m.sent_at < p.cutoff", "m.sent_at <= p.cutoff"),
    "a variable of exactly N days goes": ("v.written_at < p.cutoff", "v.written_at <= p.cutoff"),
    "an attachment of exactly N days goes": ("a.sent_at < p.cutoff", "a.sent_at <= p.cutoff"),
    "a conversation of exactly N days goes": ("c.last_activity_at < p.cutoff", "c.last_activity_at <= p.cutoff"),
    "a contact of exactly N days goes": ("t.last_activity_at < o.cutoff", "t.last_activity_at <= o.cutoff"),
    "what is exactly N days old is looked at for ever": ("c.oldest_item_at < o.cutoff", "c.oldest_item_at <= o.cutoff"),
    "messages go by their conversation's clock": ("AND m.sent_at < p.cutoff", ""),
    "variables go by their conversation's clock": ("AND v.written_at < p.cutoff", ""),
    "attachments go by their conversation's clock": ("AND a.sent_at < p.cutoff", ""),
    "a conversation goes whenever nothing is left in it": ("AND c.last_activity_at < p.cutoff", ""),
    # Days are 24 hours each, whatever the session thinks.
    "days are those of the session's time zone": (HOURS, "days => o.effective_archive_after_days"),
    "a day has 23 hours": (HOURS, HOURS.replace("24", "23")),
    # No shell is left, and nothing goes that has something in it.
    "a conversation goes before its messages": (LEFT_IN, LEFT_IN + " false AND"),
    "a contact goes before its conversations": ("v.contact_id = t.id", "v.contact_id = t.id AND false"),
    # Bounds.
    "what has nothing left has no oldest item": ("b.last_activity_at) AS oldest", "NULL) AS oldest"),
    "what has nothing left keeps its oldest item": ("b.last_activity_at) AS oldest", "b.oldest_item_at) AS oldest"),
    "the oldest item is the newest": ("COALESCE(LEAST(", "COALESCE(GREATEST("),
    "the oldest item is a message": ("(SELECT min(written_at)", "(SELECT max(written_at) + interval '9 years'"),
    # Files.
    "files do not reach the outbox": ("blob_id FROM d)", "blob_id FROM d WHERE false)"),
    "bytes are those that the sender said": ("sum(b.size)", "sum(b.size + 1)"),
    "held rows are not counted": ("SET held = EXCLUDED.held", "SET held = 0"),
    # Receipts.
    "the last batch is the receipt": ("r.messages + EXCLUDED.messages", "EXCLUDED.messages"),
    "messages are counted twice": ("r.messages + EXCLUDED.messages", "r.messages + 2 * EXCLUDED.messages"),
    "bytes are counted in the first batch alone": ("r.bytes + EXCLUDED.bytes", "r.bytes"),
    "contacts are counted once a run": ("r.contacts + EXCLUDED.contacts", "r.contacts"),
    "the run's own figures stand still": ("messages = messages + %(messages)s", "messages = messages"),
    "the receipt tells the youngest": ("LEAST(r.oldest_before", "GREATEST(r.oldest_before"),
    "the youngest is called the oldest": ("min(oldest_item_at), array_agg", "max(oldest_item_at), array_agg"),
    "the receipt tells a newest bound": ("SELECT min(c.oldest_item_at)", "SELECT max(c.oldest_item_at)"),
    # Where to look.
    "environments with contacts alone are not found": ("OR {_HAS_CONTACT_DUE}", "OR false"),
    "the second slice is not looked at": ("id > %(after)s", "id > %(after)s AND %(after)s = 0"),
}  # fmt: skip
HOLDS = {
    "a hold on the environment is ignored": ("h.contact_id IS NULL AND h.conversation_id IS NULL", "false"),
    "a hold on a conversation is ignored": ("h.conversation_id = c.id", "false"),
    "a hold on a contact does not cover its conversations": ("h.contact_id = c.contact_id", "false"),
    "a hold on a contact is ignored": ("h.contact_id = t.id", "false"),
    "a released hold holds": ("h.released_at IS NULL", "true"),
    "a hold that is over holds": ("OR h.until > %(now)s", "OR true"),
    "a hold ends a moment early": ("OR h.until > %(now)s", "OR h.until > %(now)s + interval '1 second'"),
}  # fmt: skip
PURGE = {
    "only one batch is deleted": ("slices.append(ids)", "pass"),
    "contacts are forgotten": ("(delete_conversations, delete_contacts)", "(delete_conversations,)"),
    "bytes are not counted": ('counts["bytes"] += more[0]', "pass"),
    "conversations are not counted": ('.counts["conversations"] += 1', '.counts["conversations"] += 0'),
}
# One test for one condition, each on a single connection: the test, its parameter, the faults that it finds.
ELSEWHERE = {
    ("a_policy_out_of_range_deletes_nothing_and_raises_an_alarm", 0): {
        "a limit of 0 is a limit": (statements, "BETWEEN 1 AND 3650", "BETWEEN -1 AND 3650"),
    },
    ("a_policy_out_of_range_deletes_nothing_and_raises_an_alarm", 3651): {
        "a limit of 3651 is a limit": (statements, "BETWEEN 1 AND 3650", "BETWEEN 1 AND 9999"),
    },
    ("an_environment_whose_parent_is_gone_keeps_everything_and_raises_an_alarm", None): {
        "a parent that is gone does not matter": (statements, "WHERE NOT is_torn", "WHERE true"),
    },
    ("an_unknown_setting_keeps_everything_and_raises_an_alarm", None): {
        "an unknown setting does not matter": (statements, "archival IN ('inherit', 'keep', 'limit'))", "true)"),
    },
    ("an_environment_that_reaches_the_maximum_waits_for_a_person", None): {
        "a guard does not matter": (statements, "g.confirmed_at IS NULL)", "false)"),
        "no run reaches its maximum": (purge, "deleted[pk] >= settings", "False and deleted[pk] >= settings"),
    },
    ("the_kill_switch_leaves_a_paused_run_and_every_row", None): {
        "the kill switch does not matter": (purge, "if not settings.PURGE_ENABLED", "if False"),
    },
    ("a_giant_backlog_delays_no_other_environment", None): {
        "a giant takes the whole batch": (statements, "LIMIT (SELECT n FROM share)", ""),
    },
    ("a_batch_takes_no_more_than_its_limits", None): {
        "one conversation takes the whole batch": (statements, "LIMIT %(per_conversation)s", ""),
        "a batch takes all messages": (statements, "LIMIT %(messages)s", ""),
    },
    ("a_bound_that_was_wrong_is_repaired_and_fails_no_batch", "message"): {
        "a wrong bound fails the batch": (
            statements,
            "GREATEST(c.last_activity_at, found.oldest)",
            "c.last_activity_at",
        ),
    },
    ("a_bound_that_was_wrong_is_repaired_and_fails_no_batch", "variable"): {
        "a variable does not keep its conversation": (
            statements,
            "NOT EXISTS (SELECT FROM conversations_conversationvariable v\n    WHERE",
            "NOT EXISTS (SELECT FROM conversations_conversationvariable v\n    WHERE false AND",
        ),
    },
    ("a_bound_that_was_wrong_is_repaired_and_fails_no_batch", "attachment"): {
        "an attachment does not keep its conversation": (
            statements,
            "NOT EXISTS (SELECT FROM conversations_attachment a\n    WHERE",
            "NOT EXISTS (SELECT FROM conversations_attachment a\n    WHERE false AND",
        ),
    },
    ("a_file_shared_by_three_messages_is_deleted_with_the_third", None): {
        "a file goes while something refers to it": (blobs, "blobs.exclude(pk__in=in_use)", "blobs"),
    },
    ("storage_that_is_down_is_tried_again_with_a_growing_delay", None): {
        "storage that fails is not asked again": (
            blobs,
            "postpone_file(key, error=error, now=now)",
            "BlobToDelete.objects.filter(key=key).delete()",
        ),
        "delays do not grow": (blobs, "2 ** min(tries, 10)", "1"),
    },
}
# One race for one lock, each on real connections.
RACES = {
    ("a_hold_committed_between_snapshot_and_lock_is_respected", "conversation"): {
        "holds are not checked again": (purge, "held = {pk for (pk,) in cursor.fetchall()}", "held = set()"),
    },
    ("a_longer_limit_waits_for_the_current_batch_and_applies_to_the_next", "keep"): {
        "a change of N waits for no batch": (purge, "    share_policies()\n", "    pass\n"),
    },
    ("a_second_purger_skips_what_the_first_has_locked", None): {
        "a purger waits for another one": (statements, "FOR UPDATE SKIP LOCKED) c", "FOR UPDATE) c"),
    },
    ("a_conversation_that_somebody_writes_to_is_skipped_and_waits_for_the_next_run", None): {
        "conversations are not locked": (statements, "FOR UPDATE SKIP LOCKED) c", ") c"),
    },
    ("a_contact_that_just_got_a_new_conversation_is_skipped", None): {
        "contacts are not locked": (statements, "FOR UPDATE SKIP LOCKED) t", ") t"),
    },
}


def break_(monkeypatch, module, old, new):
    """Put the fault in: constants of the module change, and the bodies of its functions, wherever they are known."""
    source = inspect.getsource(module)
    assert old in source, "this fault is of an older purge: write it anew"
    broken = {"__name__": module.__name__}
    exec(compile(source.replace(old, new), module.__file__, "exec"), broken)
    for name, value in broken.items():
        if isinstance(value, str) and not name.startswith("__"):
            monkeypatch.setattr(module, name, value)
        elif isinstance(value, FunctionType) and value.__module__ == module.__name__:
            monkeypatch.setattr(inspect.unwrap(getattr(module, name)), "__code__", inspect.unwrap(value).__code__)


@pytest.mark.parametrize("fault", [*STATEMENTS, *PURGE])
def test_one_purge_of_every_edge_finds_that(db, monkeypatch, fault):
    module, faults = (statements, STATEMENTS) if fault in STATEMENTS else (purge, PURGE)
    break_(monkeypatch, module, *faults[fault])

    with pytest.raises((AssertionError, IntegrityError)):
        check_purge(EVERY_EDGE, zone="Europe/Amsterdam")


@pytest.mark.parametrize("fault", HOLDS)
def test_one_purge_of_every_edge_finds_that_a_hold_covers_something_else(db, monkeypatch, fault):
    break_(monkeypatch, coverage, *HOLDS[fault])
    break_(monkeypatch, statements, "", "")  # the fragments are read when the statements are made

    with pytest.raises((AssertionError, IntegrityError)):
        check_purge(EVERY_EDGE, zone="Europe/Amsterdam")


def each(found_by):
    """Spread a table into (test, parameter, fault), with the fault's name as the id."""
    return [
        pytest.param(test, parameter, fault, id=name)
        for (test, parameter), faults in found_by.items()
        for name, fault in faults.items()
    ]


@pytest.mark.parametrize(("test", "parameter", "fault"), each(ELSEWHERE))
def test_a_test_of_its_own_finds_that(db, monkeypatch, request, test, parameter, fault):
    test = prepared(request, getattr(test_purge, f"test_{test}"), parameter)
    break_(monkeypatch, *fault)

    with pytest.raises((AssertionError, IntegrityError)), transaction.atomic():
        test()


@pytest.mark.parametrize(("test", "parameter", "fault"), each(RACES))
@pytest.mark.django_db(transaction=True)
def test_a_race_finds_that(monkeypatch, request, test, parameter, fault):
    test = prepared(request, getattr(test_races, f"test_{test}"), parameter)
    break_(monkeypatch, *fault)

    with pytest.raises((AssertionError, IntegrityError, TimeoutError)):
        test()


def prepared(request, test, parameter):
    """Return the test with its fixtures, and its parameter, filled in."""
    fixtures = {"acme", "pool", "run", "settings"}
    return partial(
        test,
        **{
            name: request.getfixturevalue(name) if name in fixtures else parameter
            for name in inspect.signature(test).parameters
        },
    )
