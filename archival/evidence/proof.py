"""The proof: find the oldest item of every kind in every environment, and judge whether it is late.

Shares no code with the purge, by design: it reads every item's own clock and uses no bounds, receipts or queries of the
purge. It works out the effective limits from the own values, top down, and compares the stored ones with them. It
checks suspended and idle environments too.
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
from archival.evidence.oldest import Clock, Oldest, fetch_rows, read_expired, read_oldest
from archival.models import BlobToDelete, Guard, PolicyChange
from conversations.models import Attachment, Blob
from environments.choices import LONGEST_LIMIT_DAYS, Archival
from environments.models import Organisation
from web.choices import DeliveryState

logger = logging.getLogger(__name__)
GRACE = timedelta(hours=1)  # how long after it expired an item becomes late
UNKNOWN = -1  # a number of days that no limit has
FILES_LOOKED_FOR = 10  # how many of the latest files are looked for in storage


@dataclass(frozen=True)
class Finding:
    """The judgement on the oldest remaining item of one kind in one environment."""

    environment: Organisation
    kind: str  # messages, variables, attachments, conversations, contacts, files (in storage), or changes (of a limit)
    oldest: datetime | None  # the item's clock; of a file, when its attachment was deleted; of a change, its time
    state: State
    late_by: timedelta = timedelta()  # beyond the limit and the hour of grace

    @property
    def is_late(self) -> bool:
        return self.state in WORST_FIRST

    @property
    def is_of_deleted_environment(self) -> bool:
        """Whether the environment was deleted; ``environment`` is then an unsaved object with a slug."""
        return self.environment._state.adding


def check_all_environments(*, now: datetime) -> list[Finding]:
    """Return findings for every environment, ordered by name and kind; reads only.

    An item is late one hour after the latest of its expiry, its arrival and the start of its limit. A file is late one
    hour after its attachment was deleted. A pending change, here or above, is late one hour after its time; other
    changes make no finding. Held items make a finding of their own, also if their hold ended less than an hour ago. An
    environment with values that cannot be read is unreadable, and the check of the others goes on. Late files of
    deleted environments come last.
    """
    everyone = list(Organisation.objects.order_by("name", "pk"))
    limits = effective_limits(everyone)
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
                findings.append(judge_items(environment, kind, at.at, due.at, environment.pk in guarded, now))
            if held := clocks.get((environment.pk, True), Clock()).at:
                findings.append(Finding(environment, kind, held, State.HELD))
        findings.append(judge_files(environment, waiting.pop(environment.pk, None), now))
        if late := [at for path, at in overdue if environment.path.startswith(path)]:
            findings.append(Finding(environment, "changes", min(late), State.LATE, now - min(late) - GRACE))
    left = (judge_files(Organisation(pk=pk, slug=f"deleted-{pk}"), at, now) for pk, at in sorted(waiting.items()))
    return findings + [finding for finding in left if finding.is_late]


def is_readable(environment: Organisation, limits: dict[str, int | None]) -> bool:
    """Return whether the stored effective limit follows from the own values and is in the range of limits."""
    days = environment.effective_archive_after_days
    return limits.get(environment.path, UNKNOWN) == days and (days is None or 1 <= days <= LONGEST_LIMIT_DAYS)


def read_late(
    kind: str, environments: list[Organisation], readable: set[int], oldest: Oldest, now: datetime
) -> dict[int, Clock]:
    """Return the clocks from which lateness counts, for environments whose oldest item of a kind is past its limit.

    Such an item is not always late: it can have arrived recently, and a contact is kept as long as its conversations.
    """
    days = {}
    for environment in environments:
        limit = environment.effective_archive_after_days
        at = oldest.clocks[kind].get((environment.pk, False), Clock()).at
        if limit and at and environment.pk in readable and at + timedelta(hours=24 * limit) + GRACE < now:
            days[environment.pk] = limit
    return read_expired(kind, days, shells=oldest.shells, now=now, grace=GRACE)


def read_overdue(now: datetime) -> list[tuple[str, datetime]]:
    """Return the organisation's path and the time of each pending change that should have taken effect."""
    overdue = PolicyChange.objects.filter(state=ChangeState.PENDING, acts_at__lt=now - GRACE)
    overdue = overdue.exclude(
        announcements__delivery__state=DeliveryState.WAITING
    )  # such a change waits for its mail, and its page says so
    return list(overdue.values_list("organisation__path", "acts_at"))


def effective_limits(everyone: list[Organisation]) -> dict[str, int | None]:
    """Return the effective limit of each organisation by path, worked out from the own values.

    The nearest own value counts, but no more days than any locked value above. Leaves out a path whose own value cannot
    be read, and the paths below it.
    """
    found: dict[str, tuple[int | None, int | None]] = {"": (None, None)}  # nearest own value, strictest lock
    for node in sorted(everyone, key=attrgetter("path")):
        above = found.get(node.parent_path)
        days = node.archive_after_days
        if above is None or node.archival not in Archival or (days is None) == (node.archival == Archival.LIMIT):
            continue
        near, lock = above
        if node.archival != Archival.INHERIT:
            near = days
        if node.archival_locked:
            lock = stricter_of(lock, days)
        found[node.path] = near, lock
    return {path: stricter_of(near, lock) for path, (near, lock) in found.items() if path}


def stricter_of(one: int | None, other: int | None) -> int | None:
    return min((days for days in (one, other) if days is not None), default=None)


def judge_items(
    environment: Organisation, kind: str, oldest: datetime | None, due: datetime | None, is_guarded: bool, now: datetime
) -> Finding:
    """Return the finding for the oldest item of a kind that no hold covers.

    ``due`` is the clock from which lateness counts, or ``None`` if no item is past its limit.
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
    """Return when an item with this clock expired, by the limit now or by the limit before it.

    By the limit now, nothing expired before that limit began. A limit begins when it becomes stricter; a longer limit,
    and a start in the future, do not delay expiry.
    """
    starts = (environment.archival_since, environment.archival_tightened_at)
    since = min((start for start in starts if start and start <= now), default=clock)
    expiry = max(clock + timedelta(hours=24 * days), since)
    before = environment.archival_days_before
    return expiry if before is None else min(expiry, clock + timedelta(hours=24 * max(before, days)))


_UNREFERENCED = """
SELECT b.environment_id, min(b.created_at) FROM conversations_blob b
WHERE b.created_at < %(before)s
  AND NOT EXISTS (SELECT FROM conversations_attachment a
    WHERE a.blob_id = b.id AND a.environment_id = b.environment_id)
  AND NOT EXISTS (SELECT FROM archival_blobtodelete d
    WHERE d.blob_id = b.id AND d.environment_id = b.environment_id)
GROUP BY 1
"""


def read_waiting_files(now: datetime) -> dict[int, datetime]:
    """Return since when storage has a file that no attachment refers to, by environment.

    A row of the outbox counts only while storage has its file. A blob that is neither in use nor in the outbox counts
    from one day after it was stored.
    """
    waiting: dict[int, datetime] = {}
    files = Files()
    for row in unused_outbox_rows():
        known = waiting.get(row.environment_id)
        if (known is None or row.queued_at < known) and files.has(row.key):
            waiting[row.environment_id] = row.queued_at
    for environment, at in fetch_rows(_UNREFERENCED, {"before": now - timedelta(hours=24)}):
        waiting[environment] = min(waiting.get(environment, now), at + timedelta(hours=24))
    return waiting


@dataclass
class Files:
    """Asks storage whether it has files. After an error of storage, every file counts as stored.

    Every file also counts as stored if storage has none of the latest files: it is then not mounted, or the wrong one.
    """

    answers: bool = True
    is_ours: bool | None = None  # None: storage was not asked yet

    def has(self, key: str) -> bool:
        try:
            if self.answers and self.is_ours is None:
                self.is_ours = has_a_latest_file()
            return not self.answers or not self.is_ours or default_storage.exists(key)
        except Exception as error:  # storage backends raise what they like
            logger.warning("Storage does not say which files are left (%s).", type(error).__name__)
            self.answers = False
            return True


def has_a_latest_file() -> bool:
    """Return whether storage has one of the latest files, or whether no files are stored at all."""
    leaving = BlobToDelete.objects.filter(blob_id=OuterRef("pk"), environment_id=OuterRef("environment"))
    keys = list(Blob.objects.filter(~Exists(leaving)).order_by("-pk").values_list("key", flat=True)[:FILES_LOOKED_FOR])
    return not keys or any(default_storage.exists(key) for key in keys)


def unused_outbox_rows() -> Iterator[BlobToDelete]:
    """Yield the rows of the outbox whose blob no attachment refers to."""
    shared = Attachment.objects.filter(blob=OuterRef("blob_id"), environment=OuterRef("environment_id"))
    yield from BlobToDelete.objects.filter(~Exists(shared)).order_by("queued_at", "pk").iterator()


def judge_files(environment: Organisation, since: datetime | None, now: datetime) -> Finding:
    """Return the finding for files to which nothing has referred since then; limits and holds do not count for them."""
    late_by = now - since - GRACE if since else timedelta()
    if late_by <= timedelta():
        return Finding(environment, "files", since, State.ON_TIME)
    state = State.LATE if settings.PURGE_ENABLED else State.PAUSED
    return Finding(environment, "files", since, state, late_by)
