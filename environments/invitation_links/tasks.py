"""The task that mails the invitation of somebody who opened an invitation link."""

from celery import shared_task

from environments.invitation_links import services as invitation_links
from web.clock import database_now


@shared_task(name="environments.tasks.mail_invitation_of_link")
def mail_invitation_of_link(email: str, language: str, link_id: int) -> None:
    """Mail it outside the web request, so that its duration does not show whether the address has an account."""
    invitation_links.mail_invitation(link_id, email, language=language, now=database_now())
