"""Tasks that send mails about the profile."""

from celery import shared_task

from accounts.models import User
from accounts.profile import email_change
from web.clock import database_now


@shared_task(name="accounts.tasks.send_email_change")
def send_email_change(user_id: int, auth_hash: str, email: str) -> None:
    """Mail the link that confirms a new e-mail address."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is not None:
        email_change.send_link(user, email, auth_hash=auth_hash, now=database_now())
