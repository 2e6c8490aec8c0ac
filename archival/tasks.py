"""What Celery beat starts. Each may be delivered twice or run beside itself: the rows decide, not the task."""

from celery import shared_task
from django.utils import timezone

from archival import blobs, services
from archival import purge as purging


@shared_task
def purge() -> None:
    purging.purge(now=timezone.now())
    delete_blobs.delay()


@shared_task
def delete_blobs() -> None:
    blobs.delete_blobs(now=timezone.now())


@shared_task
def apply_due_changes() -> None:
    services.apply_due_changes(now=timezone.now())
