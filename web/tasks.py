"""Background work of the web room."""

import logging

from celery import shared_task

from web import sending
from web.choices import DELIVERIES_KEPT
from web.clock import database_now
from web.models import Delivery

logger = logging.getLogger(__name__)


@shared_task(soft_time_limit=60, time_limit=90)  # a slow server can make one try longer than its time limits
def send_deliveries() -> None:
    """Send what is due in the outbox; what is left over goes to a next task. Two at once send each mail once."""
    if sending.send_due():
        send_deliveries.delay()


@shared_task
def check_deliveries() -> None:
    """Log an error if something has waited for an hour; delete deliveries that ended a month ago."""
    now = database_now()
    late = Delivery.objects.late(now)
    if count := late.count():
        logger.error("%s mails have waited for more than an hour. The last error: %s", count, last_error())
    Delivery.objects.filter(ended_at__lt=now - DELIVERIES_KEPT).delete()


def last_error() -> str:
    tried = Delivery.objects.waiting().exclude(error="").order_by("-next_try_at")
    return tried.values_list("error", flat=True).first() or "none"
