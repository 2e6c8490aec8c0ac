"""Celery tasks of this room. Each can be delivered twice, or run twice at the same time, without harm."""

from celery import shared_task

from agencies.bulk import services as bulk
from agencies.compliance import days, digests
from agencies.models import BulkChange
from archival.tasks import now_if_allowed
from web.clock import database_now

WORKS_FOR = 30.0  # seconds for which one task works on a job before other tasks get their turn


@shared_task
def run_bulk_change(job_id: int) -> None:
    """Work on a bulk change for ``WORKS_FOR`` seconds, then enqueue a task that continues it."""
    job = BulkChange.objects.filter(pk=job_id).first()
    if job is None or now_if_allowed() is None:
        return
    if bulk.run_bulk_change(job, seconds=WORKS_FOR):
        run_bulk_change.delay(job_id)


@shared_task
def resume_bulk_changes() -> None:
    """Enqueue a task for each bulk change whose worker died, or whose task the broker lost."""
    if now := now_if_allowed():
        for pk in bulk.jobs_without_worker(now=now):
            run_bulk_change.delay(pk)


@shared_task
def store_compliance() -> None:
    days.store_day(now=database_now())


@shared_task
def send_digests() -> None:
    digests.send_digests(now=database_now())
