"""Send the mails of a test by the task that a deployment uses, and read them in Django's backend for tests."""

from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone

from web import tasks
from web.models import Delivery


def sent_mails() -> list[EmailMultiAlternatives]:
    """Send mails that wait in the outbox, as the worker does, and return all mails sent since the test began."""
    tasks.send_deliveries()
    return mail.outbox


def clear_mails() -> None:
    """Send mails that wait, and forget all that were sent."""
    sent_mails().clear()


def send_what_waited() -> None:
    """Send mails that wait after a failure, as if their delay were over."""
    Delivery.objects.waiting().update(next_try_at=timezone.now())
    tasks.send_deliveries()
