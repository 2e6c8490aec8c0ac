"""Mails about access requests: to those who can answer one, and to the person who made it."""

from datetime import datetime

from django.urls import reverse

from accounts import mail
from environments.choices import Role
from environments.mail import memberships_that_answer_requests
from environments.models import AccessRequest, Membership


def mail_request(request: AccessRequest) -> None:
    """Mail those who can answer the request; the mail leads to it on the page of where they have their role.

    Anybody with an account can write a message, so the page shows it and the mail does not.
    """
    facts = {"asker": request.user, "organisation": request.organisation, "at": request.created_at}
    for membership in memberships_that_answer_requests(request.organisation):
        page = reverse("environments:access-requests", args=[membership.organisation.slug])
        context = {**facts, "path": f"{page}#request-{request.uuid}"}
        about = f"{about_request(request)}{membership.user_id}"
        mail.send(membership.user, "access_requested", context, about=about)


def about_request(request: AccessRequest) -> str:
    """Return how ``Delivery.about`` of the mails that ask for an answer begins.

    When the request ends, triggers withdraw those that still wait by the same text (migration 0020).
    """
    return f"access request {request.uuid} "


def mail_acceptance(request: AccessRequest, membership: Membership, *, now: datetime) -> None:
    """Mail the person who asked that they are a member now, and with which roles."""
    roles = [role.label for role in Role if role in membership.roles]
    mail.send(
        request.user,
        "access_accepted",
        {"organisation": request.organisation, "roles": roles, "until": membership.expires_at, "at": now},
    )


def mail_rejection(request: AccessRequest, *, now: datetime) -> None:
    """Mail the person who asked that their request was rejected, unless their account is closed.

    They are a stranger: the mail has the address that they opened, not the organisation's name or who rejected it.
    """
    if request.user.is_active:
        mail.send(request.user, "access_rejected", {"slug": request.organisation.slug, "at": now})
