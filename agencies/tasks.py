"""Celery tasks of this room. Each can be delivered twice, or run twice at the same time, without harm."""

from celery import shared_task

from agencies.compliance import days
from web.clock import database_now


@shared_task
def store_compliance() -> None:
    days.store_day(now=database_now())
