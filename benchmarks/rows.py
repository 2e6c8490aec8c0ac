"""Create environments, and conversations in the order in which they would arrive."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection

from environments.caller import SYSTEM
from environments.choices import Kind
from environments.models import Organisation
from environments.tree.services import create_organisation

NIGHT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
LIMITS = (30, 60, 90, 180, 365)
ENVIRONMENTS, CONVERSATIONS_A_DAY = 300, 4


@dataclass(frozen=True)
class Plan:
    """Conversations of one environment, evenly spread over ``span`` days, the first one ``oldest`` days ago.

    They are numbered on from ``first``.
    """

    environment: int
    conversations: int
    oldest: float
    span: float
    first: int = 0


def create_environments(count: int, name: str, *, days: int | None = None) -> list[Organisation]:
    """Create environments below an agency of their own, with a limit of ``days``."""
    agency = create_organisation(f"{name} agency", kind="agency", slug=f"bench-{name}", by=SYSTEM)
    limited = {"archival": "limit", "archive_after_days": days, "effective_archive_after_days": days} if days else {}
    Organisation.objects.bulk_create(
        Organisation(
            path=agency.path + Organisation._int2str(number).rjust(Organisation.steplen, "0"),
            depth=agency.depth + 1,
            kind=Kind.ENVIRONMENT,
            name=f"{name} {number}",
            slug=f"bench-{name}-{number}",
            **limited,
        )
        for number in range(1, count + 1)
    )
    Organisation.objects.filter(pk=agency.pk).update(numchild=count)
    return list(Organisation.objects.below(agency).environments().order_by("pk"))


def set_limit(environment: Organisation, days: int) -> None:
    environment.archival, environment.archive_after_days = "limit", days
    environment.effective_archive_after_days = days
    environment.save(update_fields=["archival", "archive_after_days", "effective_archive_after_days"])


def create_steady_state() -> list[Organisation]:
    """Create 300 environments with five limits, each full up to its limit, and one day past it."""
    environments = create_environments(ENVIRONMENTS, "night")
    plans = []
    for number, each in enumerate(environments):
        days = LIMITS[number % len(LIMITS)]
        set_limit(each, days)
        plans.append(Plan(each.pk, CONVERSATIONS_A_DAY * (days + 1), oldest=days + 1, span=days + 1))
    store_conversations(plans)
    return environments


def store_conversations(
    plans: Sequence[Plan], *, messages: int = 10, variables: int = 6, now: datetime = NIGHT
) -> None:
    """Store the conversations of each plan, a contact for each, a file for every tenth, and the bounds of ingest."""
    values = {
        "ids": [plan.environment for plan in plans],
        "counts": [plan.conversations for plan in plans],
        "firsts": [plan.first for plan in plans],
        "starts": [now - timedelta(days=plan.oldest) for plan in plans],
        "spans": [timedelta(days=plan.span) for plan in plans],
        "messages": messages,
        "variables": variables,
    }
    with connection.cursor() as cursor:
        for statement in (_PLAN, _CONTACTS, _CONVERSATIONS, _MESSAGES, _VARIABLES, _BLOBS, _ATTACHMENTS):
            cursor.execute(statement, values)
        cursor.execute("DROP TABLE plan")


# Each environment starts at another point of its first interval, so that no two have messages at the same instant.
_PLAN = """
CREATE TEMPORARY TABLE plan AS
SELECT p.id AS environment_id, n, p.id || '-' || (p.first + n) AS external_id,
  p.start + p.span * ((n + (p.id * 0.6180339887) %% 1) / p.count) AS at
FROM unnest(%(ids)s::bigint[], %(counts)s::int[], %(firsts)s::int[], %(starts)s::timestamptz[], %(spans)s::interval[])
  AS p(id, count, first, start, span), generate_series(0, p.count - 1) n
"""
_CONTACTS = """
INSERT INTO conversations_contact (uuid, environment_id, external_id, name, variables, created_at, last_activity_at)
SELECT gen_random_uuid(), environment_id, external_id, '', '{}', at, at + interval '1 minute' FROM plan ORDER BY at
"""
_CONVERSATIONS = """
INSERT INTO conversations_conversation
  (uuid, environment_id, contact_id, external_id, channel, created_at, oldest_item_at, last_activity_at)
SELECT gen_random_uuid(), plan.environment_id, t.id, external_id, 'bench', at, at,
  date_bin('1 hour', at + interval '1 minute', timestamptz '2000-01-01 00:00Z') + interval '1 hour'
FROM plan JOIN conversations_contact t USING (environment_id, external_id) ORDER BY at
"""
_NEW = "plan JOIN conversations_conversation c USING (environment_id, external_id)"
_MESSAGES = f"""
INSERT INTO conversations_message (conversation_id, environment_id, seq, role, author, text, sent_at)
SELECT c.id, c.environment_id, s.n, 'user', '', repeat('word ', 12), at + s.n * interval '1 second'
FROM {_NEW}, generate_series(0, %(messages)s - 1) s(n) ORDER BY at, s.n
"""
_VARIABLES = f"""
INSERT INTO conversations_conversationvariable (conversation_id, environment_id, key, value, written_at)
SELECT c.id, c.environment_id, 'key ' || s.n, '1', at + interval '1 second'
FROM {_NEW}, generate_series(0, %(variables)s - 1) s(n) ORDER BY at, s.n
"""
_BLOBS = """
INSERT INTO conversations_blob (environment_id, sha256, key, size, created_at)
SELECT environment_id, md5(external_id), environment_id || '/' || md5(external_id), 1000, at
FROM plan WHERE n %% 10 = 0 ORDER BY at
"""
_ATTACHMENTS = f"""
INSERT INTO conversations_attachment (uuid, conversation_id, environment_id, blob_id, name, mime, size, sent_at)
SELECT gen_random_uuid(), c.id, c.environment_id, b.id, 'file', 'text/plain', 1000, at
FROM {_NEW} JOIN conversations_blob b ON b.environment_id = plan.environment_id AND b.sha256 = md5(external_id)
ORDER BY at
"""
