"""The purge against the usual ways of deleting the same rows, which are put back after each.

Everything commits as it would in production: in one long transaction, index entries of deleted rows could not be
cleared away, and whatever works in batches would walk over them again and again.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.db.models import Model
from django.db.models.signals import post_delete

from archival.models import PurgeRun
from archival.preview import preview
from archival.purge import find_due, purge
from benchmarks.measure import Measured, Watch
from conversations.models import Attachment, Contact, Conversation, ConversationVariable, Message
from environments.models import Organisation
from environments.services import create_organisation

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
NIGHT = NOW + timedelta(days=1)
LIMITS = (30, 60, 90, 180, 365)
ENVIRONMENTS, IDLE = 300, 9_998  # as many as one node's path numbers in digits
ONE_NIGHT_ROWS, SWITCHED_ON_ROWS = 20_000, 200_000
TIMES = 3
TABLES = [model._meta.db_table for model in (Contact, Conversation, Message, ConversationVariable, Attachment)]
ITEMS: tuple[tuple[type[Model], str], ...] = (
    (Attachment, "sent_at"),
    (Message, "sent_at"),
    (ConversationVariable, "written_at"),
)


def run() -> list[Measured]:
    return [*a_night(), *switched_on(), *nothing_due()]


def a_night() -> list[Measured]:
    """300 environments, five limits, one day's worth expired since the last run."""
    environments = create(ENVIRONMENTS, "night")
    for number, each in enumerate(environments):
        limit(each, LIMITS[number % len(LIMITS)])
    # Each conversation has ten messages and six variables; the conversations of one day expire in one night.
    a_day = ONE_NIGHT_ROWS // (16 * ENVIRONMENTS) or 1
    for each in environments:
        fill(each, conversations=a_day * 40, days=each.effective_archive_after_days + 1, span=40)
    analyse()
    purge(now=NOW, sleep_ratio=0)
    return compare(f"a night over {ENVIRONMENTS} environments", environments, bars=(1 / 4, 1 / 6, 1 / 3, 1 / 1.5, 20))


def switched_on() -> list[Measured]:
    """One environment with all its rows expired, pace off."""
    clear()
    (environment,) = create(1, "switched-on")
    fill(environment, conversations=SWITCHED_ON_ROWS // 16, days=400, span=300)
    limit(environment, 30)
    analyse()
    return compare("one environment switched on", [environment], bars=(1 / 0.7, 1 / 0.7, 1 / 0.7, 1 / 0.7, None))


def compare(scenario: str, environments: list[Organisation], bars: tuple[float | None, ...]) -> list[Measured]:
    cutoffs = {each.pk: NIGHT - timedelta(days=each.effective_archive_after_days) for each in environments}
    ways: list[tuple[str, Callable[[], object]]] = [
        ("ours", lambda: purge(now=NIGHT, sleep_ratio=0)),
        ("Django .delete() per environment", lambda: by_django(cutoffs)),
        ("the same with signals", lambda: by_django(cutoffs, with_signals=True)),
        ("DELETE by id, 10,000 a statement", lambda: by_id(cutoffs)),
        ("copy to archive tables, then delete", lambda: by_copy(cutoffs)),
        ("DROP of a ready partition", drop),
    ]
    watches, notes = [Watch() for _ in ways], [""] * len(ways)
    save()
    for _ in range(TIMES):
        for number, (_name, way) in enumerate(ways):
            make_partition(cutoffs)
            notes[number] = timed(watches[number], way)
            put_back()
    ours = watches[0].median
    return [
        Measured(scenario, name, ours, watch.median, bar, f"ours {notes[0]}, other {note}")
        for (name, _way), watch, bar, note in zip(ways[1:], watches[1:], bars, notes[1:], strict=True)
    ]


def save() -> None:
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DROP TABLE IF EXISTS saved_{table}")
            cursor.execute(f"CREATE TABLE saved_{table} AS SELECT * FROM {table}")


def put_back() -> None:
    """Insert again what is missing, set the bounds as they were, and leave no dead rows behind."""
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(
                f"INSERT INTO {table} SELECT * FROM saved_{table} s WHERE NOT EXISTS"
                f" (SELECT FROM {table} t WHERE t.id = s.id)"
            )
            cursor.execute(f"DROP TABLE IF EXISTS archive_{table}, ready_{table}")
        cursor.execute(
            "UPDATE conversations_conversation c SET oldest_item_at = s.oldest_item_at"
            " FROM saved_conversations_conversation s WHERE s.id = c.id AND s.oldest_item_at <> c.oldest_item_at"
        )
    analyse()


def timed(watch: Watch, way: Callable[[], object]) -> str:
    """Run it, and return its rows and WAL in words."""
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
        before, start = rows_now(cursor), wal(cursor)
        with watch.running():
            way()
        size, gone = wal(cursor) - start, before - rows_now(cursor)
    return f"{gone:,} rows, {size // max(gone, 1):,} B of WAL each, messages {table_size()}"


def rows_now(cursor) -> int:
    cursor.execute(
        "SELECT (SELECT count(*) FROM conversations_message)"
        " + (SELECT count(*) FROM conversations_conversationvariable)"
        " + (SELECT count(*) FROM conversations_conversation) + (SELECT count(*) FROM conversations_contact)"
    )
    return int(cursor.fetchone()[0])


def wal(cursor) -> int:
    cursor.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
    return int(cursor.fetchone()[0])


def table_size() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_size_pretty(pg_total_relation_size('conversations_message'))")
        return str(cursor.fetchone()[0])


# -- The other ways, as they are usually written ---------------------------------------------------


def by_django(cutoffs: dict[int, datetime], *, with_signals: bool = False) -> None:
    models = [model for model, _ in ITEMS] + [Conversation, Contact]
    if with_signals:
        for model in models:
            post_delete.connect(listen, sender=model)
    try:
        for pk, cutoff in cutoffs.items():
            for model, clock in ITEMS:
                old = {"conversation__environment": pk, f"{clock}__lt": cutoff}
                model._default_manager.filter(**old).delete()
            expired = {"environment": pk, "last_activity_at__lt": cutoff}
            Conversation.objects.filter(**expired, messages=None, variables=None, attachments=None).delete()
            Contact.objects.filter(**expired, conversations=None).delete()
    finally:
        for model in models:
            post_delete.disconnect(listen, sender=model)


def listen(**_: object) -> None:
    """Be a receiver: that there is one makes Django fetch every row."""


EXPIRED = (
    ("conversations_attachment", "sent_at"),
    ("conversations_message", "sent_at"),
    ("conversations_conversationvariable", "written_at"),
)
SHELLS = """environment_id = %(pk)s AND last_activity_at < %(cutoff)s
  AND NOT EXISTS (SELECT FROM conversations_message m WHERE m.conversation_id = o.id)
  AND NOT EXISTS (SELECT FROM conversations_conversationvariable m WHERE m.conversation_id = o.id)
  AND NOT EXISTS (SELECT FROM conversations_attachment m WHERE m.conversation_id = o.id)"""
LONELY = """environment_id = %(pk)s AND last_activity_at < %(cutoff)s
  AND NOT EXISTS (SELECT FROM conversations_conversation c WHERE c.contact_id = o.id)"""


def chosen() -> list[tuple[str, str]]:
    """Return each table with the statement that finds its expired ids."""
    of_environment = "JOIN conversations_conversation c ON c.id = o.conversation_id WHERE c.environment_id = %(pk)s"
    items = [
        (table, f"SELECT o.id FROM {table} o {of_environment} AND o.{clock} < %(cutoff)s") for table, clock in EXPIRED
    ]
    return [
        *items,
        ("conversations_conversation", f"SELECT o.id FROM conversations_conversation o WHERE {SHELLS}"),
        ("conversations_contact", f"SELECT o.id FROM conversations_contact o WHERE {LONELY}"),
    ]


def by_id(cutoffs: dict[int, datetime]) -> None:
    with connection.cursor() as cursor:
        for pk, cutoff in cutoffs.items():
            for table, found in chosen():
                count = 10_000
                while count == 10_000:
                    cursor.execute(
                        f"DELETE FROM {table} WHERE id = ANY(ARRAY({found} LIMIT 10000))", {"pk": pk, "cutoff": cutoff}
                    )
                    count = cursor.rowcount


def by_copy(cutoffs: dict[int, datetime]) -> None:
    with connection.cursor() as cursor:
        for table, _ in chosen():
            cursor.execute(f"CREATE TABLE archive_{table} (LIKE {table})")
        for pk, cutoff in cutoffs.items():
            for table, found in chosen():
                count = 1000
                while count == 1000:
                    cursor.execute(
                        f"WITH moved AS (DELETE FROM {table} WHERE id = ANY(ARRAY({found} LIMIT 1000)) RETURNING *)"
                        f" INSERT INTO archive_{table} SELECT * FROM moved",
                        {"pk": pk, "cutoff": cutoff},
                    )
                    count = cursor.rowcount


def make_partition(cutoffs: dict[int, datetime]) -> None:
    """Copy the expired rows into tables of their own, as partitions would have them ready."""
    with connection.cursor() as cursor:
        for table, found in chosen()[:3]:
            cursor.execute(f"CREATE TABLE ready_{table} (LIKE {table} INCLUDING INDEXES)")
            for pk, cutoff in cutoffs.items():
                values = {"pk": pk, "cutoff": cutoff}
                cursor.execute(f"INSERT INTO ready_{table} SELECT * FROM {table} WHERE id IN ({found})", values)


def drop() -> None:
    with connection.cursor() as cursor:
        for table, _ in EXPIRED:
            cursor.execute(f"DROP TABLE ready_{table}")


# -- Finding nothing, and counting much ----------------------------------------------------------------


def nothing_due() -> list[Measured]:
    """10,000 environments with five young conversations each, and a preview of one with many messages."""
    clear()
    environments = create(1, "idle")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO environments_organisation (path, depth, numchild, kind, name, slug, created_at,"
            " auto_invite_roles, require_mfa, require_mfa_locked, archival, archive_after_days, archival_locked,"
            " is_suspended, effective_require_mfa, effective_archive_after_days, archival_since)"
            " SELECT left(path, 4) || lpad((n + 1)::text, 4, '0'), 2, 0, 'environment', 'idle ' || n, 'idle-' || n, %s,"
            " '{}', 'inherit', false, 'limit', 30, false, false, false, 30, %s"
            " FROM environments_organisation, generate_series(1, %s) n WHERE id = %s",
            [NOW, NOW, IDLE, environments[0].pk],
        )
    idle = Organisation.objects.filter(slug__startswith="idle-").order_by("pk")
    with connection.cursor() as cursor:
        fill_many(cursor, list(idle.values_list("pk", flat=True)), conversations=5)
    big = environments[0]
    fill(big, conversations=SWITCHED_ON_ROWS // 10, days=400, span=300)
    analyse()
    finding, counting = Watch(), Watch()
    for _ in range(5):
        with finding.running():
            assert not find_due(now=NOW).environments
        with counting.running():
            preview(big, 90, NOW)
    messages = Message.objects.filter(conversation__environment=big).count()
    return [
        Measured(f"nothing due in {idle.count():,} environments", "50 ms", finding.median, 0.05, 1),
        Measured(f"exact preview of {messages:,} messages", "1 s", counting.median, 1.0, 1),
    ]


# -- Data --------------------------------------------------------------------------------------------


def create(count: int, name: str) -> list[Organisation]:
    agency = create_organisation(f"{name} agency", kind="agency", slug=f"bench-{name}", by=None)
    return [
        create_organisation(
            f"{name} {number}", kind="environment", parent=agency, slug=f"bench-{name}-{number}", by=None
        )
        for number in range(count)
    ]


def limit(environment: Organisation, days: int) -> None:
    Organisation.objects.filter(pk=environment.pk).update(
        archival="limit", archive_after_days=days, effective_archive_after_days=days
    )
    environment.refresh_from_db()


def fill(environment: Organisation, *, conversations: int, days: int, span: int) -> None:
    """Store conversations that end evenly spread over the ``span`` days before ``days`` ago, ten messages in each."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CONVERSATIONS, {"ids": [environment.pk], "each": conversations, "days": days, "span": span, "now": NIGHT}
        )
        add_items(cursor, messages=10, variables=6)


def fill_many(cursor, ids: list[int], *, conversations: int) -> None:
    cursor.execute(_CONVERSATIONS, {"ids": ids, "each": conversations, "days": 10, "span": 9, "now": NIGHT})
    add_items(cursor, messages=1, variables=0)


def add_items(cursor, *, messages: int, variables: int) -> None:
    cursor.execute(
        "INSERT INTO conversations_message (conversation_id, seq, role, author, text, sent_at)"
        " SELECT c.id, n, 'user', '', repeat('word ', 12), c.oldest_item_at + n * interval '1 second'"
        " FROM conversations_conversation c, generate_series(1, %s) n WHERE c.channel = 'new'",
        [messages],
    )
    cursor.execute(
        "INSERT INTO conversations_conversationvariable (conversation_id, key, value, written_at)"
        " SELECT c.id, 'key ' || n, '1', c.oldest_item_at + interval '1 second'"
        " FROM conversations_conversation c, generate_series(1, %s) n WHERE c.channel = 'new'",
        [variables],
    )
    cursor.execute("UPDATE conversations_conversation SET channel = 'bench' WHERE channel = 'new'")


_CONVERSATIONS = """
WITH plan AS (
  SELECT e AS environment_id, n,
    %(now)s::timestamptz - (%(days)s - %(span)s * (n - 0.5) / %(each)s) * interval '1 day' AS at
  FROM unnest(%(ids)s::bigint[]) e, generate_series(1, %(each)s) n),
people AS (
  INSERT INTO conversations_contact
    (uuid, environment_id, external_id, name, variables, created_at, last_activity_at)
  SELECT gen_random_uuid(), environment_id, 'c' || n, '', '{}', at, at + interval '1 minute' FROM plan
  RETURNING id, environment_id, external_id)
INSERT INTO conversations_conversation
  (uuid, environment_id, contact_id, external_id, channel, created_at, oldest_item_at, last_activity_at)
SELECT gen_random_uuid(), plan.environment_id, people.id, 'v' || n, 'new', at, at, at + interval '1 minute'
FROM plan JOIN people ON people.environment_id = plan.environment_id AND people.external_id = 'c' || n
"""


def clear() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE conversations_contact, conversations_conversation, conversations_message,"
            " conversations_conversationvariable, conversations_attachment, archival_blobtodelete CASCADE"
        )
    Organisation.objects.update(effective_archive_after_days=None)


def analyse() -> None:
    PurgeRun.objects.filter(receipts=None).delete()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    time.sleep(0.1)
