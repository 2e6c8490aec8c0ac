"""What Celery beat starts. Each may be delivered twice or run beside itself: the rows decide, not the task."""

import logging
from datetime import datetime, timedelta

from celery import shared_task
from django.conf import settings

from archival.choices import DeletionState
from archival.engine import run as purging
from archival.evidence import alarms
from archival.files import outbox as blobs
from archival.files.sweep import sweep
from archival.journal import entries as journal
from archival.leases import leased, release_lease, take_lease
from archival.models import Deletion, PolicyChange
from archival.policy import mail as change_mail
from archival.policy import services
from archival.requests import deletion
from web.clock import agreed_now_or_none, database_now

logger = logging.getLogger(__name__)

DELETES_FOR = 30.0  # seconds that one task works at a deletion; then others have their turn
SWEEPS_FOR = 1800  # seconds
SWEEPS_AGAIN_AFTER = 20 * 3600
PROVES_FOR = 240  # seconds; what takes longer is given up, and warned of once the proof is an hour old
SILENT_AFTER = timedelta(minutes=1)  # a running deletion that gave no sign of life for this long lost its worker


def instant_to_act() -> datetime | None:
    """Return the instant for what deletes, by the database's clock; None, with an error in the log, if nothing may.

    Nothing is deleted in an older database that was put back: its limits may be stricter than those in force, a change
    or a deletion that waits there may have been cancelled since, and a file there may be referred to again. Nor is it
    by a process whose clock is wrong.
    """
    if journal.is_ahead():
        logger.error(journal.RESTORED)
        return None
    return agreed_now_or_none()


@shared_task
def purge() -> None:
    if now := instant_to_act():
        purging.purge(now=now)
        delete_blobs.delay()


@shared_task
def delete_blobs() -> None:
    if now := instant_to_act():
        blobs.delete_blobs(now=now)


@shared_task(soft_time_limit=SWEEPS_FOR, time_limit=SWEEPS_FOR + 30)
def sweep_blobs() -> None:
    """Delete, once a day, files of ours that no row names. Beat asks every hour: it keeps no record of its own."""
    now = instant_to_act()
    if now is None or not settings.PURGE_ENABLED or blobs.is_another_storage():
        return
    holder = take_lease("sweep_blobs", seconds=SWEEPS_AGAIN_AFTER)  # kept until it expires, if all goes well
    if holder is None:
        return
    try:
        swept = sweep(now=now, delete=True, ours_alone=True)
    except BaseException:
        release_lease("sweep_blobs", holder)
        raise
    if swept.orphans or swept.missing:
        words = "%s files without a row, %s of them deleted; %s rows without a file"
        logger.error(words, len(swept.orphans), swept.deleted, len(swept.missing))
    if swept.is_suspicious:
        logger.error("So many that another database may be in place: see to it, then run sweep_blobs --delete.")


@shared_task
def apply_due_changes() -> None:
    if now := instant_to_act():
        services.apply_due_changes(now=now)


@shared_task
def write_journal() -> None:
    journal.write_entries()


@shared_task  # as the release before queued it; mails are written with the change now
def announce_change(change_id: int) -> None:
    change = PolicyChange.objects.select_related("organisation").filter(pk=change_id).first()
    if change is not None and change.is_pending:
        change_mail.announce_change(change)


@shared_task  # likewise
def announce_end(change_id: int) -> None:
    change = PolicyChange.objects.select_related("organisation").filter(pk=change_id).first()
    if change is not None and not change.is_pending:
        change_mail.announce_end(change)


@shared_task(soft_time_limit=PROVES_FOR, time_limit=PROVES_FOR + 30)
def check_retention() -> None:
    """Prove what is left, and tell who is concerned. One at a time: a second one leaves its worker at once."""
    with leased("check_retention", seconds=PROVES_FOR + 60) as is_mine:
        if is_mine:
            alarms.store_proof(now=database_now())


@shared_task
def delete_organisation(deletion_id: int) -> None:
    """Work at a deletion, and leave the rest to the next task. Redelivered or beside itself, it does the same once."""
    now = instant_to_act()
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
    """Start again what lost its worker, or never had one."""
    silent = Deletion.objects.filter(state=DeletionState.RUNNING, run__last_batch_at__lt=database_now() - SILENT_AFTER)
    for pk in silent.values_list("pk", flat=True):
        delete_organisation.delay(pk)


@shared_task  # likewise
def announce_deletion(deletion_id: int, news: str, people: list[int]) -> None:
    found = Deletion.objects.select_related("run", "parent").filter(pk=deletion_id).first()
    if found is not None:
        deletion.mail_news(found, news, people)
