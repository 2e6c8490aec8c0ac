"""The outbox: mails and tasks that leave if, and only if, the transaction that wrote them commits."""

from datetime import datetime
from typing import Any

from celery import Task
from django.db import transaction
from django.db.models.functions import Now

from web import sealing
from web.background import enqueue_after_commit
from web.choices import DeliveryKind, DeliveryState
from web.models import Delivery, DeliveryQuerySet

SEND = "web.tasks.send_deliveries"


@transaction.atomic
def queue_mail(
    recipient: str,
    *,
    name: str,
    subject: str,
    text: str,
    html: str,
    expires_at: datetime | None = None,
    about: str = "",
) -> Delivery:
    """Queue a mail in the caller's transaction; a worker sends it after the commit, and retries.

    ``name`` tells people which mail it is. It does not leave after ``expires_at``, an instant
    by the database's clock. One that waits ``about`` the same
    is withdrawn: its code or link ended when this one was made.
    """
    if about:
        withdraw(about)
    body = {"recipient": recipient, "subject": subject, "text": text, "html": html}
    return _queue(DeliveryKind.MAIL, body, name=name, recipient=recipient, expires_at=expires_at, about=about)


@transaction.atomic
def queue_task(task: Task, *arguments: Any, expires_at: datetime | None = None) -> Delivery:
    """Queue a task in the caller's transaction; it runs even if the broker is down or loses it.

    The task runs in one transaction with the end of its delivery, so its writes happen once.
    """
    return _queue(DeliveryKind.TASK, {"arguments": arguments}, name=task.name, expires_at=expires_at)


def _queue(kind: DeliveryKind, body: dict[str, Any], **fields: Any) -> Delivery:
    delivery = Delivery.objects.create(kind=kind, sealed=sealing.seal(body), **fields)
    enqueue_after_commit(SEND)
    return delivery


def withdraw(about: str) -> int:
    """Withdraw waiting deliveries ``about`` this, and return how many."""
    return withdraw_all(Delivery.objects.filter(about=about))


def withdraw_all(deliveries: DeliveryQuerySet) -> int:
    return deliveries.end_deliveries(DeliveryState.WITHDRAWN, now=Now())
