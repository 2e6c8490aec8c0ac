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
from django.db.models import Exists, OuterRef

from archival.choices import WORST_FIRST, ChangeState
from archival.choices import ProofState as State
from archival.evidence.oldest import Clock, Oldest, read_expired, read_oldest, rows
from archival.models import BlobToDelete, Guard, PolicyChange
from conversations.models import Attachment, Blob
from environments.choices import LONGEST_LIMIT_DAYS, Archival
from environments.models import Organisation
from web.choices import DeliveryState

logger = logging.getLogger(__name__)
GRACE = timedelta(hours=1)
UNKNOWN = -1  # no number of days
LOOKED_FOR = 10  # files


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


def check(*, now: datetime) -> list[Finding]:
    """Return findings for every environment, ordered by name and kind; reads only.

    An item is late one hour after the latest of its expiry, its arrival and the start of its limit. A file is late one
    hour after its attachment was deleted, and a pending change here or above one hour after its time; changes that are
    not are no finding. What is held, or was until less than an hour ago, shows as a finding of its own. What cannot be
    judged in one environment is unreadable there and ends the check of no other. Files of an environment that is gone
    come last, and only if they are late.
    """
    everyone = list(Organisation.objects.order_by("name", "pk"))
    limits = work_out(everyone)
    environments = [each for each in everyone if each.is_environment]
    readable = {each.pk for each in environments if is_readable(each, limits)}
    oldest = read_oldest(now=now, grace=GRACE)
    expired = {kind: read_late(kind, environments, readable, oldest, now) for kind in oldest.clocks}
    guarded = set(Guard.objects.filter(confirmed_at=None).values_list("environment_id", flat=True))
    waiting = read_waiting_files(now)
    overdue = read_overdue(now)
    findings: list[Finding] = []
    for environment in environments:
        for kind, clocks in oldest.clocks.items():
            at = clocks.get((environment.pk, False), Clock())
            due = expired[kind].get(environment.pk, Clock())
            if environment.pk not in readable or not at.is_readable or not due.is_readable:
                findings.append(Finding(environment, kind, at.at, State.UNREADABLE))
            else:
                findings.append(judge(environment, kind, at.at, due.at, environment.pk in guarded, now))
            if held := clocks.get((environment.pk, True), Clock()).at:
                findings.append(Finding(environment, kind, held, State.HELD))
        findings.append(judge_files(environment, waiting.pop(environment.pk, None), now))
        if late := [at for path, at in overdue if environment.path.startswith(path)]:
            findings.append(Finding(environment, "changes", min(late), State.LATE, now - min(late) - GRACE))
    left = (judge_files(Organisation(pk=pk, slug=f"deleted-{pk}"), at, now) for pk, at in sorted(waiting.items()))
    return findings + [finding for finding in left if finding.is_late]


def is_readable(environment: Organisation, limits: dict[str, int | None]) -> bool:
    """Tell whether what is stored as the limit is what the own values amount to, and in the range of limits."""
    days = environment.effective_archive_after_days
    return limits.get(environment.path, UNKNOWN) == days and (days is None or 1 <= days <= LONGEST_LIMIT_DAYS)


def read_late(
    kind: str, environments: list[Organisation], readable: set[int], oldest: Oldest, now: datetime
) -> dict[int, Clock]:
    """Look closer where the oldest of a kind is past the limit: it may have come lately, a contact may live on."""
    days = {}
    for environment in environments:
        limit = environment.effective_archive_after_days
        at = oldest.clocks[kind].get((environment.pk, False), Clock()).at
        if limit and at and environment.pk in readable and at + timedelta(hours=24 * limit) + GRACE < now:
            days[environment.pk] = limit
    return read_expired(kind, days, shells=oldest.shells, now=now, grace=GRACE)


def read_overdue(now: datetime) -> list[tuple[str, datetime]]:
    """Return the changes that should have acted by now: the path of their organisation, and when."""
    overdue = PolicyChange.objects.filter(state=ChangeState.PENDING, acts_at__lt=now - GRACE)
    overdue = overdue.exclude(announcements__delivery__state=DeliveryState.WAITING)  # it waits for that, and says so
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


def judge(
    environment: Organisation, kind: str, oldest: datetime | None, due: datetime | None, is_guarded: bool, now: datetime
) -> Finding:
    """Say of what nothing holds whether it should have gone, and what excuses it.

    ``due`` is the clock that lateness counts from, of what is past its limit; None: nothing is.
    """
    days = environment.effective_archive_after_days
    if days is None:
        return Finding(environment, kind, oldest, State.KEPT)
    late_by = now - expired_at(environment, due, days, now) - GRACE if due else timedelta()
    if late_by <= timedelta():
        return Finding(environment, kind, oldest, State.DUE if due else State.ON_TIME)
    state = State.LATE
    if is_guarded:
        state = State.GUARDED
    elif not settings.PURGE_ENABLED:
        state = State.PAUSED
    return Finding(environment, kind, oldest, state, late_by)


def expired_at(environment: Organisation, clock: datetime, days: int, now: datetime) -> datetime:
    """Return when what has this clock expired: by the limit, not before that began to hold, or by the one before.

    A limit begins to hold when it becomes stricter: a longer one excuses nothing. Nor does a start in the future.
    """
    starts = (environment.archival_since, environment.archival_tightened_at)
    since = min((start for start in starts if start and start <= now), default=clock)
    expiry = max(clock + timedelta(hours=24 * days), since)
    before = environment.archival_days_before
    return expiry if before is None else min(expiry, clock + timedelta(hours=24 * max(before, days)))


_UNREFERENCED = """
SELECT b.environment_id, min(b.created_at) FROM conversations_blob b
WHERE NOT EXISTS (SELECT FROM conversations_attachment a WHERE a.blob_id = b.id)
  AND NOT EXISTS (SELECT FROM archival_blobtodelete d WHERE d.blob_id = b.id) AND b.created_at < %(before)s GROUP BY 1
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
    for environment, at in rows(_UNREFERENCED, {"before": now - timedelta(hours=24)}):
        waiting[environment] = min(waiting.get(environment, now), at + timedelta(hours=24))
    return waiting


@dataclass
class Files:
    """Storage as far as it answers. Once it does not, every file counts as there: it was not seen to be gone.

    Nor is it in a storage that has none of the files that must be there: it is not mounted here, or another one.
    """

    answers: bool = True
    is_ours: bool | None = None  # not looked yet

    def has(self, key: str) -> bool:
        try:
            if self.answers and self.is_ours is None:
                self.is_ours = has_what_must_be_there()
            return not self.answers or not self.is_ours or default_storage.exists(key)
        except Exception as error:  # storage backends raise what they like
            logger.warning("Storage does not say which files are left (%s).", type(error).__name__)
            self.answers = False
            return True


def has_what_must_be_there() -> bool:
    """Tell whether storage has one of the latest files that nothing deletes; without any, nothing can be told."""
    leaving = BlobToDelete.objects.filter(blob_id=OuterRef("pk"))
    keys = list(Blob.objects.filter(~Exists(leaving)).order_by("-pk").values_list("key", flat=True)[:LOOKED_FOR])
    return not keys or any(default_storage.exists(key) for key in keys)


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
