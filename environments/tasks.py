"""Background work of this room."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from accounts.models import User
from environments import access_requests, departures, domains, joining, mfa_mail, mfa_schedule
from environments.models import Organisation
from web.clock import agreed_now_or_none, database_now


@shared_task
def ask_for_access(user_id: int, slug: str, message: str) -> None:
    """File an access request apart from the web request, whose time must not tell whether the organisation exists."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is not None:
        access_requests.ask_for_access(user, slug, message=message, now=timezone.now())


@shared_task
def check_domains() -> None:
    """Look at the DNS records of domains whose time has come."""
    domains.check_due(now=database_now())


@shared_task
def review_what_was_stored() -> None:
    """Look whether somebody still answers for keys, invitations, and the roles that domains give."""
    if now := agreed_now_or_none():
        departures.end_what_nobody_answers_for(now=now)


@shared_task
def forget_join_links() -> None:
    """Delete the links to join that nobody used in time."""
    if now := agreed_now_or_none():
        joining.forget_unused(now=now)


@shared_task
def mail_link_to_join(email: str, language: str) -> None:
    """Mail a link to join, if somebody with this address may, apart from the request, whose time must not tell."""
    joining.mail_link(email, language=language, now=database_now())


@shared_task
def apply_mfa_changes() -> None:
    """Switch on what is due. Delivered twice or beside itself, it does the same once: the rows decide."""
    mfa_schedule.apply_due_changes(now=database_now())


@shared_task
def remind_of_mfa() -> None:
    """Mail whoever a scheduled requirement will hit; each mail once."""
    mfa_schedule.remind_members(now=database_now())


@shared_task  # as the release before queued it; mails are written with the change now
def mail_administrators(organisation_id: int, notice: dict[str, Any]) -> None:
    organisation = Organisation.objects.filter(pk=organisation_id).first()
    if organisation is not None:
        mfa_mail.mail_administrators(organisation, notice)
