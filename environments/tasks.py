"""Background work of this room."""

from typing import Any

from celery import shared_task

from environments import memberships
from environments.access_requests.tasks import ask_for_access
from environments.domains import services as domains
from environments.joining.tasks import forget_join_links, mail_link_to_join
from environments.models import Organisation
from environments.policies import mfa_mail, mfa_schedule
from web.clock import agreed_now_or_none, database_now

__all__ = [
    "apply_mfa_changes",
    "ask_for_access",
    "check_domains",
    "forget_join_links",
    "mail_administrators",
    "mail_link_to_join",
    "remind_of_mfa",
    "review_what_was_stored",
]


@shared_task
def check_domains() -> None:
    """Look at the DNS records of domains whose time has come."""
    domains.check_due(now=database_now())


@shared_task
def review_what_was_stored() -> None:
    """Look whether somebody still answers for keys, invitations, and the roles that domains give."""
    if now := agreed_now_or_none():
        memberships.end_what_nobody_answers_for(now=now)


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
