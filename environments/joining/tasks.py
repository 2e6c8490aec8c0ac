"""Tasks that mail links to join and delete expired ones."""

from celery import shared_task

from environments.joining import services as joining
from web.clock import agreed_now_or_none, database_now


@shared_task(name="environments.tasks.forget_join_links")
def forget_join_links() -> None:
    """Delete expired links to join."""
    if now := agreed_now_or_none():
        joining.delete_expired_links(now=now)


@shared_task(name="environments.tasks.mail_link_to_join")
def mail_link_to_join(email: str, language: str) -> None:
    """Mail a link to join outside the web request, so that its duration does not show whether the address can join."""
    joining.mail_join_link(email, language=language, now=database_now())
