"""The proof: what is the oldest item of every kind that is still there, and is it late?

Shares no code with the purge, by design: it reads every item's own clock and trusts no bound, no receipt and no query
of the purge's, nor the limit that is stored as what holds: it works that out from the own values, top down. Suspended
and idle environments are in it like all others.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Exists, OuterRef

from archival.choices import WORST_FIRST, ChangeState
from archival.choices import ProofState as State
from archival.models import BlobToDelete, Guard, PolicyChange
from conversations.models import Attachment
from environments.choices import LONGEST_LIMIT_DAYS, Archival
from environments.models import Organisation

logger = logging.getLogger(__name__)
GRACE = timedelta(hours=1)
UNKNOWN = -1  # no number of days


@dataclass(frozen=True)
class Finding:
    """The oldest remaining item of one kind in one environment."""

    environment: Organisation
    kind: str  # messages, variables, attachments, conversations, contacts, files (in storage), or changes (of a limit)
    oldest: datetime | None  # by the item's own clock; for files, when their attachment was deleted; when a change acts
    state: State
    late_by: timedelta = timedelta()  # beyond the limit and the hour of grace

    @property
    def is_late(self) -> bool:
        return self.state in WORST_FIRST

    @property
    def is_of_the_gone(self) -> bool:
        """Whether the environment was deleted, and only its short name for this finding is left."""
        return self.environment._state.adding


_CONVERSATIONS = """
WITH live AS MATERIALIZED (
  SELECT environment_id, contact_id, conversation_id FROM archival_hold
  WHERE LEAST(COALESCE(released_at, 'infinity'), COALESCE(until, 'infinity')) > %(since)s),
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


def check(*, now: datetime) -> list[Finding]:
    """Return findings for every environment, ordered by name and kind; reads only.

    An item is late one hour after the later of its expiry and the instant since which the limit has been in force. A
    file is late one hour after its attachment was deleted, and a pending change here or above one hour after its time;
    changes that are not are no finding. What is held, or was until less than an hour ago, shows as a
    finding of its own. Files of an environment that is gone come last, and only if they are late.
    """
    everyone = list(Organisation.objects.order_by("name", "pk"))
    limits = work_out(everyone)
    guarded = set(Guard.objects.filter(confirmed_at=None).values_list("environment_id", flat=True))
    oldest = {kind: read_oldest(statement, now) for kind, statement in _OLDEST.items()}
    waiting = read_waiting_files(now)
    overdue = read_overdue(now)
    findings: list[Finding] = []
    for environment in (each for each in everyone if each.is_environment):
        days = environment.effective_archive_after_days
        is_readable = limits.get(environment.path, UNKNOWN) == days
        is_guarded = environment.pk in guarded
        for kind, times in oldest.items():
            at = times.get((environment.pk, False))
            findings.append(
                judge(environment, kind, at, is_guarded, now)
                if is_readable
                else Finding(environment, kind, at, State.UNREADABLE)
            )
            if at := times.get((environment.pk, True)):
                findings.append(Finding(environment, kind, at, State.HELD))
        findings.append(judge_files(environment, waiting.pop(environment.pk, None), now))
        if late := [at for path, at in overdue if environment.path.startswith(path)]:
            findings.append(Finding(environment, "changes", min(late), State.LATE, now - min(late) - GRACE))
    left = (judge_files(Organisation(pk=pk, slug=f"deleted-{pk}"), at, now) for pk, at in sorted(waiting.items()))
    return findings + [finding for finding in left if finding.is_late]


def read_overdue(now: datetime) -> list[tuple[str, datetime]]:
    """Return the changes that should have acted by now: the path of their organisation, and when."""
    overdue = PolicyChange.objects.filter(state=ChangeState.PENDING, acts_at__lt=now - GRACE)
    return list(overdue.values_list("organisation__path", "acts_at"))


def work_out(everyone: list[Organisation]) -> dict[str, int | None]:
    """Return how many days hold on each path by the own values alone; what cannot be read is left out, and all below.

    The nearest own value wins; each locked one above bounds it.
    """
    found: dict[str, tuple[int | None, int | None]] = {"": (None, None)}  # the nearest value, and the strictest lock
    for node in sorted(everyone, key=attrgetter("path")):
        above = found.get(node.parent_path)
        days = node.archive_after_days
        if above is None or node.archival not in Archival or (days is None) == (node.archival == Archival.LIMIT):
            continue
        near, lock = above
        if node.archival != Archival.INHERIT:
            near = days
        if node.archival_locked:
            lock = least(lock, days)
        found[node.path] = near, lock
    return {path: least(near, lock) for path, (near, lock) in found.items() if path}


def least(one: int | None, other: int | None) -> int | None:
    return min((days for days in (one, other) if days is not None), default=None)


def read_oldest(statement: str, now: datetime) -> dict[tuple[int, bool], datetime]:
    """Return the clock of the oldest item by environment, what is held and what is not apart."""
    with connection.cursor() as cursor:
        cursor.execute(statement, {"since": now - GRACE})  # the purge has an hour for what a hold has just set free
        return {(environment, held): at for environment, held, at in cursor.fetchall()}


def judge(environment: Organisation, kind: str, oldest: datetime | None, is_guarded: bool, now: datetime) -> Finding:
    """Say of the oldest item of a kind that nothing holds whether it should have gone, and what excuses it."""
    days = environment.effective_archive_after_days
    if days is None:
        return Finding(environment, kind, oldest, State.KEPT)
    if not 1 <= days <= LONGEST_LIMIT_DAYS:
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
    files = Files()
    for row in outbox():
        known = waiting.get(row.environment_id)
        if (known is None or row.queued_at < known) and files.has(row.key):
            waiting[row.environment_id] = row.queued_at
    with connection.cursor() as cursor:
        cursor.execute(_UNREFERENCED, {"before": now - timedelta(hours=24)})
        for environment, at in cursor.fetchall():
            waiting[environment] = min(waiting.get(environment, now), at + timedelta(hours=24))
    return waiting


@dataclass
class Files:
    """Storage as far as it answers. Once it does not, every file counts as there: it was not seen to be gone."""

    answers: bool = True

    def has(self, key: str) -> bool:
        try:
            return not self.answers or default_storage.exists(key)
        except Exception as error:  # storage backends raise what they like
            logger.warning("Storage does not say which files are left (%s).", type(error).__name__)
            self.answers = False
            return True


def outbox() -> Iterator[BlobToDelete]:
    """Yield what waits for deletion and is not shared with an attachment that stays."""
    shared = Attachment.objects.filter(blob=OuterRef("blob_id"))
    yield from BlobToDelete.objects.filter(~Exists(shared)).order_by("queued_at", "pk").iterator()


def judge_files(environment: Organisation, since: datetime | None, now: datetime) -> Finding:
    """Say whether a file that nothing refers to since then should have gone; no limit and no hold excuses it."""
    late_by = now - since - GRACE if since else timedelta()
    if late_by <= timedelta():
        return Finding(environment, "files", since, State.ON_TIME)
    state = State.LATE if settings.PURGE_ENABLED else State.PAUSED
    return Finding(environment, "files", since, state, late_by)
