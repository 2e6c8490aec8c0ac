"""Background work of this room."""

from celery import shared_task
from django.utils import timezone

from accounts.models import User
from environments import access_requests, domains, joining


@shared_task
def ask_for_access(user_id: int, slug: str, message: str) -> None:
    """File an access request apart from the web request, whose time must not tell whether the organisation exists."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is not None:
        access_requests.ask_for_access(user, slug, message=message, now=timezone.now())


@shared_task
def check_domains() -> None:
    """Look at the DNS records of domains whose time has come."""
    domains.check_due(now=timezone.now())


@shared_task
def mail_link_to_join(email: str, language: str) -> None:
    """Mail a link to join, if somebody with this address may, apart from the request, whose time must not tell."""
    joining.mail_link(email, language=language, now=timezone.now())
