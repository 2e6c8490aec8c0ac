"""The task that stores a request for access."""

from celery import shared_task
from django.utils import timezone

from accounts.models import User
from environments.access_requests import services as access_requests


@shared_task(name="environments.tasks.ask_for_access")
def ask_for_access(user_id: int, slug: str, message: str) -> None:
    """Store an access request outside the web request, so that its duration does not show whether the slug exists."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is not None:
        access_requests.ask_for_access(user, slug, message=message, now=timezone.now())
