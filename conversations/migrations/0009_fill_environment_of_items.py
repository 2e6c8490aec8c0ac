"""Fill the columns that 0008 added, in slices that are transactions of their own; a run that was cut off goes on.

Whoever writes or deletes items locks their conversation first, and so does this. It never waits with a lock: it skips
what others have locked, waits for that alone, and looks again.
"""

from typing import Any

from django.db import migrations, transaction
from django.db.backends.utils import CursorWrapper

SLICE = 2000  # rows; whoever appends to a conversation waits for one slice at most
ENVIRONMENT = (
    "environment_id = (SELECT c.environment_id FROM conversations_conversation c WHERE c.id = i.conversation_id)"
)
MESSAGE_SEQ = "message_seq = (SELECT m.seq FROM conversations_message m WHERE m.id = i.message_id)"
COLUMNS = {
    "conversations_message": ENVIRONMENT,
    "conversations_conversationvariable": ENVIRONMENT,
    "conversations_attachment": f"{ENVIRONMENT}, {MESSAGE_SEQ}",
}
LOCK = "SELECT id FROM conversations_conversation WHERE id = ANY(%s) FOR NO KEY UPDATE"


def fill(_: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        for table in COLUMNS:
            ids = [0]
            while ids := following(cursor, table, ids[-1]):
                while empty := without_environment(cursor, table, ids):
                    fill_rows(cursor, table, empty)


def following(cursor: CursorWrapper, table: str, pk: int) -> list[int]:
    """Return the ids of the next slice."""
    cursor.execute(f"SELECT id FROM {table} WHERE id > %s ORDER BY id LIMIT %s", [pk, SLICE])
    return [row[0] for row in cursor.fetchall()]


def without_environment(cursor: CursorWrapper, table: str, ids: list[int]) -> dict[int, int]:
    """Return the conversation of each of these rows that has no environment, by the row's id."""
    cursor.execute(f"SELECT id, conversation_id FROM {table} WHERE id = ANY(%s) AND environment_id IS NULL", [ids])
    return dict(cursor.fetchall())


def fill_rows(cursor: CursorWrapper, table: str, conversations: dict[int, int]) -> None:
    """Fill the rows whose conversation nobody else has locked. Where there is none, wait for one conversation."""
    with transaction.atomic(using=cursor.db.alias):
        cursor.execute(f"{LOCK} SKIP LOCKED", [sorted(set(conversations.values()))])
        free = {row[0] for row in cursor.fetchall()}
        rows = [pk for pk, conversation in conversations.items() if conversation in free]
        cursor.execute(f"UPDATE {table} i SET {COLUMNS[table]} WHERE id = ANY(%s)", [rows])
    if not rows:
        cursor.execute(LOCK, [[next(iter(conversations.values()))]])


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("conversations", "0008_environment_of_items")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
