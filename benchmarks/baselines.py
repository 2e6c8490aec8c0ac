"""Other ways to delete data past its cutoff, as usually written, one environment after the other.

Each statement commits by itself. None of them locks a conversation against ingest, minds a hold, counts for a receipt,
or hands files over for deletion; where they are faster for that, it shows. The ways "by ctid" go to each row without an
index, which is faster than by key, but wrong in partitions, where a ctid is not unique.
"""

from datetime import datetime

from django.db import connection
from django.db.models import Model
from django.db.models.signals import post_delete

from benchmarks.ground import PURGED
from conversations.models import Attachment, Contact, Conversation, ConversationVariable, Message

Cutoffs = dict[int, datetime]
ITEMS: tuple[tuple[type[Model], str], ...] = (
    (Attachment, "sent_at"),
    (Message, "sent_at"),
    (ConversationVariable, "written_at"),
)
CLOCKS = {model._meta.db_table: clock for model, clock in ITEMS}
KEYS = {
    "conversations_message": ("conversation_id", "seq", "environment_id"),
    "conversations_conversationvariable": ("conversation_id", "key", "environment_id"),
}  # the others have an id
CHUNK, ARCHIVE_CHUNK = 10_000, 1000

# For each table, in the order of their foreign keys, a query for the ctids of rows past the cutoff.
_ITEM = """SELECT o.ctid FROM {table} o JOIN conversations_conversation c ON c.id = o.conversation_id
  WHERE c.environment_id = %(pk)s AND o.{clock} < %(cutoff)s"""
EXPIRED = {table: _ITEM.format(table=table, clock=clock) for table, clock in CLOCKS.items()} | {
    "conversations_conversation": """SELECT o.ctid FROM conversations_conversation o
  WHERE environment_id = %(pk)s AND last_activity_at < %(cutoff)s
  AND NOT EXISTS (SELECT FROM conversations_message m WHERE m.conversation_id = o.id)
  AND NOT EXISTS (SELECT FROM conversations_conversationvariable m WHERE m.conversation_id = o.id)
  AND NOT EXISTS (SELECT FROM conversations_attachment m WHERE m.conversation_id = o.id)""",
    "conversations_contact": """SELECT o.ctid FROM conversations_contact o
  WHERE environment_id = %(pk)s AND last_activity_at < %(cutoff)s
  AND NOT EXISTS (SELECT FROM conversations_conversation c WHERE c.contact_id = o.id)""",
}


def by_django(cutoffs: Cutoffs) -> None:
    for pk, cutoff in cutoffs.items():
        for model, clock in ITEMS:
            model._default_manager.filter(conversation__environment=pk, **{f"{clock}__lt": cutoff}).delete()
        expired = {"environment": pk, "last_activity_at__lt": cutoff}
        Conversation.objects.filter(**expired, messages=None, variables=None, attachments=None).delete()
        Contact.objects.filter(**expired, conversations=None).delete()


def by_django_with_signals(cutoffs: Cutoffs) -> None:
    models = [*(model for model, _ in ITEMS), Conversation, Contact]
    for model in models:
        post_delete.connect(listen, sender=model)
    try:
        by_django(cutoffs)
    finally:
        for model in models:
            post_delete.disconnect(listen, sender=model)


def listen(**_: object) -> None:
    """A receiver: its presence makes Django fetch every row."""


def by_key(cutoffs: Cutoffs) -> None:
    for pk, cutoff in cutoffs.items():
        for table, found in EXPIRED.items():
            key = KEYS.get(table, ("id",))
            keys = found.replace("o.ctid", ", ".join(f"o.{column}" for column in key))
            statement = f"DELETE FROM {table} WHERE ({', '.join(key)}) IN ({keys} LIMIT {CHUNK})"
            until_done(statement, {"pk": pk, "cutoff": cutoff}, chunk=CHUNK)


def by_ctid(cutoffs: Cutoffs) -> None:
    delete_by_ctid(cutoffs, EXPIRED)


def delete_by_ctid(cutoffs: Cutoffs, expired: dict[str, str]) -> None:
    for pk, cutoff in cutoffs.items():
        for table, found in expired.items():
            statement = f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({found} LIMIT {CHUNK}))"
            until_done(statement, {"pk": pk, "cutoff": cutoff}, chunk=CHUNK)


def prepare_archive(cutoffs: Cutoffs) -> None:
    with connection.cursor() as cursor:
        for table in PURGED:
            cursor.execute(f"CREATE TABLE archive_{table} (LIKE {table})")


def by_copy(cutoffs: Cutoffs) -> None:
    for pk, cutoff in cutoffs.items():
        for table, found in EXPIRED.items():
            statement = (
                f"WITH moved AS (DELETE FROM {table} WHERE ctid = ANY(ARRAY({found} LIMIT {ARCHIVE_CHUNK}))"
                f" RETURNING *) INSERT INTO archive_{table} SELECT * FROM moved"
            )
            until_done(statement, {"pk": pk, "cutoff": cutoff}, chunk=ARCHIVE_CHUNK)


def add_age_index() -> None:
    """Add an index on environment and age to items, which ``by_age`` needs."""
    with connection.cursor() as cursor:
        for table, clock in CLOCKS.items():
            cursor.execute(f"CREATE INDEX by_age_{table} ON {table} (environment_id, {clock})")


def by_age(cutoffs: Cutoffs) -> None:
    """Delete by ctid, with items found through the index of ``add_age_index``."""
    found = {
        table: f"SELECT ctid FROM {table} WHERE environment_id = %(pk)s AND {clock} < %(cutoff)s"
        for table, clock in CLOCKS.items()
    }
    delete_by_ctid(cutoffs, EXPIRED | found)


def until_done(statement: str, values: dict[str, object], *, chunk: int) -> None:
    with connection.cursor() as cursor:
        count = chunk
        while count == chunk:
            cursor.execute(statement, values)
            count = cursor.rowcount


def prepare_partitions(cutoffs: Cutoffs) -> None:
    """Copy the rows past the cutoff into one partition for each table, with its indexes, for ``drop``."""
    expired = "SELECT unnest(%(ids)s::bigint[]) AS pk, unnest(%(cutoffs)s::timestamptz[]) AS cutoff"
    of_conversations = f"""SELECT c.id FROM conversations_conversation c JOIN ({expired}) e ON e.pk = c.environment_id
      WHERE c.last_activity_at < e.cutoff"""
    of_contacts = f"""SELECT c.contact_id FROM conversations_conversation c JOIN ({expired}) e
      ON e.pk = c.environment_id WHERE c.last_activity_at < e.cutoff"""
    values = {"ids": list(cutoffs), "cutoffs": list(cutoffs.values())}
    with connection.cursor() as cursor:
        for table in PURGED:
            column, ids = "conversation_id", of_conversations
            if table == "conversations_conversation":
                column = "id"
            elif table == "conversations_contact":
                column, ids = "id", of_contacts
            cursor.execute(f"CREATE TABLE parted_{table} (LIKE {table}) PARTITION BY LIST (environment_id)")
            cursor.execute(f"CREATE TABLE ready_{table} (LIKE {table} INCLUDING INDEXES)")
            cursor.execute(f"INSERT INTO ready_{table} SELECT * FROM {table} WHERE {column} IN ({ids})", values)
            cursor.execute(f"ALTER TABLE parted_{table} ATTACH PARTITION ready_{table} DEFAULT")


def by_dropping_partitions(cutoffs: Cutoffs) -> None:
    with connection.cursor() as cursor:
        for table in PURGED:
            cursor.execute(f"DROP TABLE ready_{table}")
