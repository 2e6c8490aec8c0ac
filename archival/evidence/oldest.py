"""Read the oldest item of every kind in every environment, by the items' own clocks, for the proof.

Shares no code with the purge and uses no bounds. Reads instants as numbers of microseconds, so that an instant outside
the calendar (44 BC, infinity) counts as unreadable and does not stop the check of other environments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from conversations.ingest.clocks import BOUND
from web.clock import FIRST

STATEMENT_SECONDS = 60  # the time limit of one statement
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_AHEAD = timedelta(days=1)  # an instant further in the future is unreadable; bounds are rounded up by minutes


@dataclass(frozen=True)
class Clock:
    """An instant from the database, or ``None`` if there was none or, unless ``is_readable``, it cannot be read."""

    at: datetime | None = None
    is_readable: bool = True


@dataclass
class Oldest:
    """The clock of the oldest item of each kind, by environment and by whether a hold covers the item."""

    clocks: dict[str, dict[tuple[int, bool], Clock]] = field(default_factory=dict)
    shells: list[int] = field(default_factory=list)  # ids of empty conversations


def microseconds(clock: str) -> str:
    return f"EXTRACT(epoch FROM {clock}) * 1000000"


# A hold counts only in its own environment.
_LIVE = """
WITH live AS MATERIALIZED (
  SELECT environment_id, contact_id, conversation_id FROM archival_hold
  WHERE LEAST(COALESCE(released_at, 'infinity'), COALESCE(until, 'infinity')) > %(since)s),
whole AS MATERIALIZED (SELECT environment_id FROM live WHERE contact_id IS NULL AND conversation_id IS NULL),
held_contacts AS MATERIALIZED (
  SELECT environment_id, contact_id FROM live WHERE contact_id IS NOT NULL
  UNION SELECT c.environment_id, c.contact_id FROM live
    JOIN conversations_conversation c ON c.id = live.conversation_id AND c.environment_id = live.environment_id)
"""
_HELD = """(c.environment_id IN (SELECT environment_id FROM whole)
  OR (c.environment_id, c.id) IN (SELECT environment_id, conversation_id FROM live WHERE conversation_id IS NOT NULL)
  OR (c.environment_id, c.contact_id) IN (SELECT environment_id, contact_id FROM live WHERE contact_id IS NOT NULL))"""
_CONTACT_HELD = """(t.environment_id IN (SELECT environment_id FROM whole)
  OR (t.environment_id, t.id) IN (SELECT environment_id, contact_id FROM held_contacts))"""
# Only empty conversations ("shells") have a clock of their own; other conversations are kept as long as their items.
_IS_SHELL = "m.oldest IS NULL AND v.oldest IS NULL AND a.oldest IS NULL"
# Reads each item once, in the order of an index: no table is sorted or hashed, so little memory is enough.
_ITEMS = f"""{_LIVE}
SELECT c.environment_id, {_HELD} AS is_held,
  {microseconds("min(m.oldest)")}, {microseconds("min(v.oldest)")}, {microseconds("min(a.oldest)")},
  {microseconds(f"min(c.last_activity_at) FILTER (WHERE {_IS_SHELL})")}, array_agg(c.id) FILTER (WHERE {_IS_SHELL})
FROM conversations_conversation c
LEFT JOIN (SELECT DISTINCT ON (conversation_id, environment_id) conversation_id, environment_id, sent_at AS oldest
           FROM conversations_message ORDER BY conversation_id, environment_id, sent_at) m
  ON m.conversation_id = c.id AND m.environment_id = c.environment_id
LEFT JOIN (SELECT conversation_id, environment_id, min(written_at) AS oldest
           FROM conversations_conversationvariable GROUP BY conversation_id, environment_id) v
  ON v.conversation_id = c.id AND v.environment_id = c.environment_id
LEFT JOIN (SELECT DISTINCT ON (conversation_id, environment_id) conversation_id, environment_id, sent_at AS oldest
           FROM conversations_attachment ORDER BY conversation_id, environment_id, sent_at) a
  ON a.conversation_id = c.id AND a.environment_id = c.environment_id
GROUP BY 1, 2
"""
_LIVES = """EXISTS (SELECT FROM conversations_conversation v
  WHERE v.contact_id = t.id AND v.environment_id = t.environment_id AND v.id <> ALL(%(shells)s::bigint[]))"""
# Every contact has a clock, also one that is kept because of a conversation.
_CONTACTS = f"""{_LIVE}
SELECT o.id, false, {microseconds("t.last_activity_at")} FROM environments_organisation o CROSS JOIN LATERAL (
  SELECT t.last_activity_at FROM conversations_contact t
  WHERE t.environment_id = o.id AND NOT {_CONTACT_HELD} ORDER BY t.last_activity_at LIMIT 1) t
WHERE o.id NOT IN (SELECT environment_id FROM whole)
UNION ALL
SELECT t.environment_id, true, {microseconds("min(t.last_activity_at)")} FROM conversations_contact t
WHERE t.environment_id IN (SELECT environment_id FROM live) AND {_CONTACT_HELD} GROUP BY 1
"""


def read_oldest(*, now: datetime, grace: timedelta) -> Oldest:
    """Return the oldest items; reads every row once. A hold that ended less than ``grace`` ago still counts."""
    found = Oldest({kind: {} for kind in ("messages", "variables", "attachments", "conversations", "contacts")})
    values: dict[str, Any] = {"since": now - grace}
    for environment, is_held, *clocks, shells in fetch_rows(_ITEMS, values):
        for kind, clock in zip(("messages", "variables", "attachments", "conversations"), clocks, strict=True):
            found.clocks[kind][environment, is_held] = read_clock(clock, now)
        found.shells += shells or []
    for environment, is_held, clock in fetch_rows(_CONTACTS, values | {"shells": found.shells}):
        found.clocks["contacts"][environment, is_held] = read_clock(clock, now)
    return found


def expired_statement(source: str, clock: str, arrived: str, held: str) -> str:
    """Return SQL that reads, by environment, the clock from which lateness counts.

    Only items that have been past their limit for longer than ``grace`` count. An item does not expire before it
    arrived, unless its arrival is dated in the future.
    """
    span = "make_interval(hours => 24 * e.days)"
    arrival = f"CASE WHEN {arrived} <= %(now)s THEN {arrived} - {span} END"
    return f"""{_LIVE}
SELECT e.id, {microseconds(f"min(GREATEST({clock}, {arrival}))")}
FROM unnest(%(environments)s::bigint[], %(days)s::int[]) AS e(id, days) {source}
WHERE {clock} < %(now)s - %(grace)s - {span} AND NOT {held} GROUP BY 1"""


# The bound of a conversation is rounded up: its newest item was sent at most ``bound`` earlier.
_NEWEST = "c.last_activity_at - %(bound)s"
_LATEST = f"""GREATEST(t.last_activity_at,
  (SELECT max({_NEWEST}) FROM conversations_conversation c
   WHERE c.contact_id = t.id AND c.environment_id = t.environment_id))"""
_OF_A_CONVERSATION = """JOIN conversations_conversation c ON c.environment_id = e.id
  JOIN {} i ON i.conversation_id = c.id AND i.environment_id = c.environment_id"""
_MESSAGES = _OF_A_CONVERSATION.format("conversations_message")
_VARIABLES = _OF_A_CONVERSATION.format("conversations_conversationvariable")
_ATTACHMENTS = _OF_A_CONVERSATION.format("conversations_attachment")
_SHELLS = "JOIN conversations_conversation c ON c.environment_id = e.id AND c.id = ANY(%(shells)s::bigint[])"
_LIFELESS = f"""JOIN conversations_contact t ON t.environment_id = e.id
  AND t.last_activity_at < %(now)s - %(grace)s - make_interval(hours => 24 * e.days) AND NOT {_LIVES}"""
_EXPIRED = {
    "messages": expired_statement(_MESSAGES, "i.sent_at", "COALESCE(i.received_at, c.created_at)", _HELD),
    "variables": expired_statement(_VARIABLES, "i.written_at", "c.created_at", _HELD),
    "attachments": expired_statement(_ATTACHMENTS, "i.sent_at", "c.created_at", _HELD),
    "conversations": expired_statement(_SHELLS, f"({_NEWEST})", "c.created_at", _HELD),
    "contacts": expired_statement(_LIFELESS, _LATEST, "t.created_at", _CONTACT_HELD),
}


def read_expired(
    kind: str, days: Mapping[int, int], *, shells: list[int], now: datetime, grace: timedelta
) -> dict[int, Clock]:
    """Return the clock of the item that expired first, by environment; items under a hold do not count.

    Only items that have been past the limit of ``days`` for longer than ``grace`` count. An item that was past its
    limit when it arrived gets the clock with which it expires on arrival.
    """
    if not days:
        return {}
    values = {
        "environments": list(days),
        "days": list(days.values()),
        "shells": shells,
        "now": now,
        "grace": grace,
        "bound": BOUND,
        "since": now - grace,
    }
    return {environment: read_clock(clock, now) for environment, clock in fetch_rows(_EXPIRED[kind], values)}


def fetch_rows(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = %s", [STATEMENT_SECONDS * 1000])
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def read_clock(value: Decimal | None, now: datetime) -> Clock:
    """Return the instant this many microseconds after 1970; an instant outside the calendar is unreadable."""
    if value is None:
        return Clock()
    latest = (now + MOST_AHEAD - EPOCH) / timedelta(microseconds=1)
    if not (FIRST - EPOCH) / timedelta(microseconds=1) <= value <= latest:
        return Clock(is_readable=False)
    return Clock(EPOCH + timedelta(microseconds=int(value)))
