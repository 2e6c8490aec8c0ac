"""Background work of the accounts room."""

from celery import shared_task
from django.core.management import call_command
from django.utils import timezone
from social_django.models import Association, Nonce

from accounts.choices import ROUND_TRIP_LASTS
from accounts.models import FailureBudget, MailboxCode
from accounts.passwords.tasks import send_password_reset
from accounts.profile import email_change
from accounts.profile.tasks import send_email_change
from accounts.sessions import services as sessions
from accounts.throttle.budgets import Budget
from web.clock import agreed_now_or_none

__all__ = ["clear_sessions", "end_unfounded_sessions", "send_email_change", "send_password_reset"]


@shared_task
def clear_sessions() -> None:
    """Delete expired sessions, mailbox codes, links, budgets and round trips to providers.

    Records of expired sessions are ended, and deleted half a year later.
    """
    now = agreed_now_or_none()
    if now is None:
        return
    call_command("clearsessions")
    sessions.end_expired(now=now)
    sessions.forget_ended(now=now)
    MailboxCode.objects.filter(expires_at__lt=now).delete()
    email_change.delete_expired(now=now)
    Nonce.objects.filter(timestamp__lt=int((now - ROUND_TRIP_LASTS).timestamp())).delete()
    Association.cleanup_expired(int(now.timestamp()))
    FailureBudget.objects.filter(since__lt=now - Budget.CLEARED_AFTER).delete()


@shared_task
def end_unfounded_sessions() -> None:
    """End the sessions of providers that were removed, replaced or made stricter."""
    sessions.end_without_basis(now=timezone.now())
