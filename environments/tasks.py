"""Celery tasks of this room."""

from typing import Any

from celery import shared_task

from environments import memberships
from environments.access_requests.tasks import ask_for_access
from environments.domains import services as domains
from environments.invitation_links.tasks import mail_invitation_of_link
from environments.joining.tasks import forget_join_links, mail_link_to_join
from environments.members import reminders
from environments.members import services as members
from environments.models import Organisation
from environments.policies import mfa_mail, mfa_schedule
from web.clock import agreed_now_or_none, database_now

__all__ = [
    "apply_mfa_changes",
    "ask_for_access",
    "check_domains",
    "forget_join_links",
    "mail_administrators",
    "mail_invitation_of_link",
    "mail_link_to_join",
    "remind_of_ends",
    "remind_of_mfa",
    "review_what_was_stored",
]


@shared_task
def check_domains() -> None:
    """Check the DNS records of domains that are due."""
    domains.check_due_records(now=database_now())


@shared_task
def review_what_was_stored() -> None:
    """End expired memberships, and keys, invitations and roles by domain that nobody is responsible for any more."""
    if now := agreed_now_or_none():
        members.end_expired_memberships(now=now)
        memberships.end_what_nobody_is_responsible_for(now=now)


@shared_task
def apply_mfa_changes() -> None:
    """Apply scheduled MFA changes that are due; two runs, also at the same time, apply each change once."""
    mfa_schedule.apply_due_changes(now=database_now())


@shared_task
def remind_of_ends() -> None:
    """Remind people of memberships that end within a week; each mail leaves once."""
    reminders.remind_of_ends(now=database_now())


@shared_task
def remind_of_mfa() -> None:
    """Remind people who will need a second factor by a scheduled change; each mail leaves once."""
    mfa_schedule.remind_members(now=database_now())


@shared_task  # queued by the release before this one; now the change itself writes its mails
def mail_administrators(organisation_id: int, notice: dict[str, Any]) -> None:
    organisation = Organisation.objects.filter(pk=organisation_id).first()
    if organisation is not None:
        mfa_mail.mail_administrators(organisation, notice)
