"""Background work of the accounts room."""

from celery import shared_task
from django.core.management import call_command
from django.utils import timezone
from social_django.models import Association, Nonce

from accounts import email_change, passwords, sessions
from accounts.choices import ROUND_TRIP_LASTS
from accounts.models import FailureBudget, MailboxCode, User
from accounts.throttle import Budget
from web.clock import agreed_now_or_none, database_now


@shared_task
def clear_sessions() -> None:
    """Delete sessions, mailbox codes, links, budgets and round trips to providers that are over.

    The records of sessions that ran out end, and go half a year later.
    """
    now = agreed_now_or_none()
    if now is None:
        return
    call_command("clearsessions")
    sessions.end_expired(now=now)
    sessions.forget_ended(now=now)
    MailboxCode.objects.filter(expires_at__lt=now).delete()
    email_change.forget(now=now)
    Nonce.objects.filter(timestamp__lt=int((now - ROUND_TRIP_LASTS).timestamp())).delete()
    Association.cleanup_expired(int(now.timestamp()))
    FailureBudget.objects.filter(since__lt=now - Budget.FORGIVEN_AFTER).delete()


@shared_task
def end_unfounded_sessions() -> None:
    """End the sessions of providers that were taken out, replaced or made stricter."""
    sessions.end_unfounded(now=timezone.now())


@shared_task
def send_password_reset(email: str, language: str) -> None:
    """Mail a link to set a new password, if somebody has this address.

    It runs here so that the page which asks takes the same time for every address.
    """
    passwords.send_reset(email, language=language)


@shared_task
def send_email_change(user_id: int, auth_hash: str, email: str) -> None:
    """Mail the link for another address, as above."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is not None:
        email_change.send_link(user, email, auth_hash=auth_hash, now=database_now())
