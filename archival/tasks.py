"""What Celery beat starts. Each may be delivered twice or run beside itself: the rows decide, not the task."""

import logging

from celery import shared_task
from django.utils import timezone

from archival import alarms, blobs, journal, services
from archival import purge as purging
from archival.models import PolicyChange

logger = logging.getLogger(__name__)


@shared_task
def purge() -> None:
    if journal.is_ahead():  # its limits are of then, and may be stricter than what was in force
        logger.error(journal.RESTORED)
        return
    purging.purge(now=timezone.now())
    delete_blobs.delay()


@shared_task
def delete_blobs() -> None:
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
        alarms.announce_change(change)


@shared_task
def check_retention() -> None:
    alarms.store_proof(now=timezone.now())
