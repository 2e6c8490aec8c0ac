"""The proof: what is the oldest item of every kind that is still there, and is it late?

Shares no code with the purge, by design: it reads every item's own clock and trusts no bound, no receipt and no query
of the purge's. Suspended and idle environments are in it like all others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Exists, OuterRef

from archival.choices import ProofState as State
from archival.models import BlobToDelete, Guard
from conversations.models import Attachment
from environments.models import Organisation

GRACE = timedelta(hours=1)


@dataclass(frozen=True)
class Finding:
    """The oldest remaining item of one kind in one environment."""

    environment: Organisation
    kind: str  # messages, variables, attachments, conversations, contacts, or files (in storage)
    oldest: datetime | None  # by the item's own clock; for files, when their attachment was deleted
    state: State
    late_by: timedelta = timedelta()  # beyond the limit and the hour of grace

    @property
    def is_late(self) -> bool:
        return self.state in {State.LATE, State.GUARDED, State.PAUSED, State.UNREADABLE}


_CONVERSATIONS = """
WITH live AS MATERIALIZED (
  SELECT environment_id, contact_id, conversation_id FROM archival_hold
  WHERE released_at IS NULL AND COALESCE(until, 'infinity') > %(now)s),
talk AS MATERIALIZED (
  SELECT id, environment_id, contact_id, created_at, last_activity_at,
    environment_id IN (SELECT environment_id FROM live WHERE contact_id IS NULL AND conversation_id IS NULL)
      OR id IN (SELECT conversation_id FROM live WHERE conversation_id IS NOT NULL)
      OR contact_id IN (SELECT contact_id FROM live WHERE contact_id IS NOT NULL) AS held
  FROM conversations_conversation)
"""
_OLDEST = {
    "messages": _CONVERSATIONS
    + """SELECT environment_id, held, min(sent_at) FROM conversations_message i
         JOIN talk ON talk.id = i.conversation_id GROUP BY 1, 2""",
    "variables": _CONVERSATIONS
    + """SELECT environment_id, held, min(written_at) FROM conversations_conversationvariable i
         JOIN talk ON talk.id = i.conversation_id GROUP BY 1, 2""",
    "attachments": _CONVERSATIONS
    + """SELECT environment_id, held, min(sent_at) FROM conversations_attachment i
         JOIN talk ON talk.id = i.conversation_id GROUP BY 1, 2""",
    # Only shells have a clock of their own: a conversation with items lives as long as they do.
    "conversations": _CONVERSATIONS
    + """SELECT environment_id, held, min(last_activity_at) FROM talk WHERE NOT (
           id IN (SELECT conversation_id FROM conversations_message)
           OR id IN (SELECT conversation_id FROM conversations_conversationvariable)
           OR id IN (SELECT conversation_id FROM conversations_attachment)) GROUP BY 1, 2""",
    "contacts": _CONVERSATIONS
    + """SELECT t.environment_id,
           t.environment_id IN (SELECT environment_id FROM live WHERE contact_id IS NULL AND conversation_id IS NULL)
             OR t.id IN (SELECT contact_id FROM live WHERE contact_id IS NOT NULL),
           min(t.last_activity_at) FROM conversations_contact t
         WHERE t.id NOT IN (SELECT contact_id FROM talk) GROUP BY 1, 2""",
}


def check(*, now: datetime, environments: list[int] | None = None) -> list[Finding]:
    """Return findings for every environment (or these ids), ordered by name and kind; reads only.

    An item is late one hour after the later of its expiry and the instant since which the limit has been in force. A
    file is late one hour after its attachment was deleted. What is held shows as a finding of its own.
    """
    found = Organisation.objects.environments().order_by("name", "pk")
    if environments is not None:
        found = found.filter(pk__in=environments)
    everyone = list(found)
    guarded = set(Guard.objects.filter(confirmed_at=None).values_list("environment_id", flat=True))
    oldest = {kind: read_oldest(statement, now) for kind, statement in _OLDEST.items()}
    waiting = read_waiting_files(now)
    findings: list[Finding] = []
    for environment in everyone:
        is_guarded = environment.pk in guarded
        for kind, times in oldest.items():
            findings.append(judge(environment, kind, times.get((environment.pk, False)), is_guarded, now))
            if at := times.get((environment.pk, True)):
                findings.append(Finding(environment, kind, at, State.HELD))
        findings.append(judge_files(environment, waiting.get(environment.pk), now))
    return findings


def read_oldest(statement: str, now: datetime) -> dict[tuple[int, bool], datetime]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"now": now})
        return {(environment, held): at for environment, held, at in cursor.fetchall()}


def judge(environment: Organisation, kind: str, oldest: datetime | None, is_guarded: bool, now: datetime) -> Finding:
    days = environment.effective_archive_after_days
    if days is None:
        return Finding(environment, kind, oldest, State.KEPT)
    if not 1 <= days <= 3650:
        return Finding(environment, kind, oldest, State.UNREADABLE)
    if oldest is None:
        return Finding(environment, kind, None, State.ON_TIME)
    expired_at = max(oldest + timedelta(hours=24 * days), environment.archival_since)
    late_by = now - expired_at - GRACE
    if late_by <= timedelta():
        return Finding(environment, kind, oldest, State.ON_TIME)
    state = State.LATE
    if is_guarded:
        state = State.GUARDED
    elif not settings.PURGE_ENABLED:
        state = State.PAUSED
    return Finding(environment, kind, oldest, state, late_by)


_UNREFERENCED = """
SELECT b.environment_id, min(b.created_at) FROM conversations_blob b
WHERE b.id NOT IN (SELECT blob_id FROM conversations_attachment WHERE blob_id IS NOT NULL)
  AND b.id NOT IN (SELECT blob_id FROM archival_blobtodelete) AND b.created_at < %(before)s GROUP BY 1
"""


def read_waiting_files(now: datetime) -> dict[int, datetime]:
    """Return since when a file is in storage that nothing refers to, by environment.

    An outbox row counts only while its bytes are there; a blob that nothing refers to and nobody queued counts from
    a day after it was stored.
    """
    waiting: dict[int, datetime] = {}
    for row in outbox():
        known = waiting.get(row.environment_id)
        if (known is None or row.queued_at < known) and default_storage.exists(row.key):
            waiting[row.environment_id] = row.queued_at
    with connection.cursor() as cursor:
        cursor.execute(_UNREFERENCED, {"before": now - timedelta(hours=24)})
        for environment, at in cursor.fetchall():
            waiting[environment] = min(waiting.get(environment, now), at + timedelta(hours=24))
    return waiting


def outbox() -> Iterator[BlobToDelete]:
    """Yield what waits for deletion and is not shared with an attachment that stays."""
    shared = Attachment.objects.filter(blob=OuterRef("blob_id"))
    yield from BlobToDelete.objects.filter(~Exists(shared)).order_by("queued_at", "pk").iterator()


def judge_files(environment: Organisation, since: datetime | None, now: datetime) -> Finding:
    late_by = now - since - GRACE if since else timedelta()
    if late_by <= timedelta():
        return Finding(environment, "files", since, State.ON_TIME)
    state = State.LATE if settings.PURGE_ENABLED else State.PAUSED
    return Finding(environment, "files", since, state, late_by)
