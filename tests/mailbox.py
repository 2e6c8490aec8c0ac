"""The mails of a test: sent by the task that sends them in a deployment, kept by Django's backend for tests."""

from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone

from web import tasks
from web.models import Delivery


def sent_mails() -> list[EmailMultiAlternatives]:
    """Send what waits in the outbox, as the worker does, and return all that left since the test began."""
    tasks.send_deliveries()
    return mail.outbox


def forget_mails() -> None:
    """Let everything leave that waits, and begin anew."""
    sent_mails().clear()


def send_what_waited() -> None:
    """Send what could not leave before, as if its delay were over."""
    Delivery.objects.waiting().update(next_try_at=timezone.now())
    tasks.send_deliveries()
