"""Tasks that Celery beat starts. Each can be delivered twice, or run twice at the same time, without harm."""

import logging
from datetime import datetime, timedelta

from celery import shared_task
from django.conf import settings

from archival.choices import DeletionState
from archival.engine import run as engine
from archival.evidence import alarms
from archival.exports import services as exports
from archival.exports.mail import announce_exports
from archival.files import outbox
from archival.files.sweep import sweep_storage
from archival.journal import entries as journal
from archival.journal import heads
from archival.leases import leased, release_lease, take_lease
from archival.models import Deletion, PolicyChange
from archival.policy import mail as change_mail
from archival.policy import services
from archival.requests import deletion
from audit import sealing
from web.clock import agreed_now_or_none, database_now

logger = logging.getLogger(__name__)

DELETES_FOR = 30.0  # seconds for which one task works on a deletion before other tasks get their turn
SWEEPS_FOR = 1800  # seconds
SWEEPS_AGAIN_AFTER = 20 * 3600
PROVES_FOR = 240  # seconds; a longer check is stopped, and pages show a warning once the proof is an hour old
WORKER_LOST_AFTER = timedelta(minutes=1)  # a running deletion without a batch for this long has lost its worker


def now_if_allowed() -> datetime | None:
    """Return the database's present instant, or log an error and return ``None`` if nothing can be deleted now.

    Tasks delete nothing in a restored, older database: its limits can be stricter than those in effect, its pending
    changes and deletions can have been cancelled since, and its files can be in use again. A process whose clock is
    wrong deletes nothing either.
    """
    if journal.database_is_older():
        logger.error(journal.RESTORED)
        return None
    return agreed_now_or_none()


@shared_task
def purge() -> None:
    if now := now_if_allowed():
        engine.purge(now=now)
        delete_blobs.delay()


@shared_task
def delete_blobs() -> None:
    if now := now_if_allowed():
        outbox.delete_blobs(now=now)


@shared_task(soft_time_limit=SWEEPS_FOR, time_limit=SWEEPS_FOR + 30)
def sweep_blobs() -> None:
    """Delete Studio's files that no row refers to, once a day.

    Beat starts this every hour; it returns at once while the lease of the last sweep lasts.
    """
    now = now_if_allowed()
    if now is None or not settings.PURGE_ENABLED or outbox.is_wrong_storage():
        return
    holder = take_lease("sweep_blobs", seconds=SWEEPS_AGAIN_AFTER)  # released early only if the sweep fails
    if holder is None:
        return
    try:
        swept = sweep_storage(now=now, delete=True, ours_alone=True)
    except BaseException:
        release_lease("sweep_blobs", holder)
        raise
    if swept.orphans or swept.missing:
        message = "%s files without a row, %s of them deleted; %s rows without a file"
        logger.error(message, len(swept.orphans), swept.deleted, len(swept.missing))
    if swept.is_suspicious:
        logger.error("So many files without a row can mean another database: check it, then run sweep_blobs --delete.")


@shared_task
def apply_due_changes() -> None:
    if now := now_if_allowed():
        services.apply_due_changes(now=now)


@shared_task
def write_journal() -> None:
    journal.write_entries()


@shared_task
def seal_audit_log() -> None:
    """Seal events, and once a day write the head of the chain to the journal.

    Seals nothing in a restored, older database, nor after a chain that lacks what the journal has: events would be
    sealed that were changed meanwhile.
    """
    if journal.database_is_older():
        logger.error(journal.RESTORED)
    elif heads.is_behind():
        logger.error(heads.BEHIND)
    else:
        sealing.seal_events(now=database_now())
        heads.write_daily_head(now=database_now())


@shared_task  # for tasks that an earlier release queued; this release writes the mails with the change
def announce_change(change_id: int) -> None:
    change = PolicyChange.objects.select_related("organisation").filter(pk=change_id).first()
    if change is not None and change.is_pending:
        change_mail.announce_change(change)


@shared_task  # also for tasks of an earlier release
def announce_end(change_id: int) -> None:
    change = PolicyChange.objects.select_related("organisation").filter(pk=change_id).first()
    if change is not None and not change.is_pending:
        change_mail.announce_end(change)


@shared_task(soft_time_limit=PROVES_FOR, time_limit=PROVES_FOR + 30)
def check_retention() -> None:
    """Store the proof, and mail people about late environments; returns at once while another process does that."""
    with leased("check_retention", seconds=PROVES_FOR + 60) as is_free:
        if is_free:
            alarms.store_proof(now=database_now())


@shared_task
def delete_organisation(deletion_id: int) -> None:
    """Continue a deletion for ``DELETES_FOR`` seconds, then enqueue a task that continues it."""
    now = now_if_allowed()
    found = Deletion.objects.filter(pk=deletion_id).first()
    if found is None or now is None:
        return
    with deletion.lock_deletion(found) as is_alone:
        if not is_alone:
            return
        ratio = settings.PURGE_SLEEP_RATIO
        has_ended = deletion.continue_deletion(found, now=now, seconds=DELETES_FOR, sleep_ratio=ratio)
    if not has_ended:
        delete_organisation.delay(deletion_id)


@shared_task
def resume_deletions() -> None:
    """Enqueue a task for each running deletion that has had no batch for ``WORKER_LOST_AFTER``."""
    lost = Deletion.objects.filter(
        state=DeletionState.RUNNING, run__last_batch_at__lt=database_now() - WORKER_LOST_AFTER
    )
    for pk in lost.values_list("pk", flat=True):
        delete_organisation.delay(pk)


@shared_task
def write_exports() -> None:
    """Write a part of an export, then enqueue a task that writes the next one, of this or another export."""
    if now_if_allowed() and exports.continue_exports():
        write_exports.delay()


@shared_task
def tend_exports() -> None:
    """Delete exports that have expired, and tell people how theirs ended."""
    if now := now_if_allowed():
        exports.expire_exports(now=now)
        announce_exports()


@shared_task  # also for tasks of an earlier release
def announce_deletion(deletion_id: int, news: str, people: list[int]) -> None:
    found = Deletion.objects.select_related("run", "parent").filter(pk=deletion_id).first()
    if found is not None:
        deletion.mail_deletion_news(found, news, people)
