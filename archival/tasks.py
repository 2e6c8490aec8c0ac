"""What Celery beat starts. Each may be delivered twice or run beside itself: the rows decide, not the task."""

import logging
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from archival import alarms, blobs, change_mail, deletion, journal, services
from archival import purge as purging
from archival.choices import DeletionState
from archival.models import Deletion, PolicyChange

logger = logging.getLogger(__name__)

DELETES_FOR = 30.0  # seconds that one task works at a deletion; then others have their turn
SILENT_AFTER = timedelta(minutes=1)  # a running deletion that gave no sign of life for this long lost its worker


@shared_task
def purge() -> None:
    if journal.is_ahead():  # its limits are of then, and may be stricter than what was in force
        logger.error(journal.RESTORED)
        return
    purging.purge(now=timezone.now())
    delete_blobs.delay()


@shared_task
def delete_blobs() -> None:
    if journal.is_ahead():  # what waits there may be referred to again since: the newer database may come back
        logger.error(journal.RESTORED)
        return
    blobs.delete_blobs(now=timezone.now())


@shared_task
def apply_due_changes() -> None:
    if journal.is_ahead():  # a change that waits there may have been cancelled since
        logger.error(journal.RESTORED)
        return
    services.apply_due_changes(now=timezone.now())


@shared_task
def write_journal() -> None:
    journal.write()


@shared_task
def announce_change(change_id: int) -> None:
    change = PolicyChange.objects.select_related("organisation").filter(pk=change_id).first()
    if change is not None and change.is_pending:
        change_mail.announce_change(change)


@shared_task
def announce_end(change_id: int) -> None:
    change = PolicyChange.objects.select_related("organisation").filter(pk=change_id).first()
    if change is not None and not change.is_pending:
        change_mail.announce_end(change)


@shared_task
def check_retention() -> None:
    alarms.store_proof(now=timezone.now())


@shared_task
def delete_organisation(deletion_id: int) -> None:
    """Work at a deletion, and leave the rest to the next task. Redelivered or beside itself, it does the same once."""
    if journal.is_ahead():  # it may have been stopped since
        logger.error(journal.RESTORED)
        return
    found = Deletion.objects.filter(pk=deletion_id).first()
    if found is None:
        return
    with deletion.alone_at(found) as is_alone:
        if not is_alone:
            return
        ratio = settings.PURGE_SLEEP_RATIO
        has_ended = deletion.carry_on(found, now=timezone.now(), seconds=DELETES_FOR, sleep_ratio=ratio)
    if not has_ended:
        delete_organisation.delay(deletion_id)


@shared_task
def resume_deletions() -> None:
    """Start again what lost its worker, or never had one."""
    silent = Deletion.objects.filter(state=DeletionState.RUNNING, run__last_batch_at__lt=timezone.now() - SILENT_AFTER)
    for pk in silent.values_list("pk", flat=True):
        delete_organisation.delay(pk)


@shared_task
def announce_deletion(deletion_id: int, news: str, people: list[int]) -> None:
    found = Deletion.objects.select_related("run", "parent").filter(pk=deletion_id).first()
    if found is not None:
        deletion.mail_news(found, news, people)
