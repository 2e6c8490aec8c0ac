"""The mails of a test: sent by the task that sends them in a deployment, kept by Django's backend for tests."""

from django.core import mail
from django.core.mail import EmailMultiAlternatives

from web import tasks


def sent_mails() -> list[EmailMultiAlternatives]:
    """Send what waits in the outbox, as the worker does, and return all that left since the test began."""
    tasks.send_deliveries()
    return mail.outbox


def forget_mails() -> None:
    """Let everything leave that waits, and begin anew."""
    sent_mails().clear()
