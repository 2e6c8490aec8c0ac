"""Create and revoke invitation links, and mail the invitation of somebody who opened one.

A link proves no mailbox: whoever has it can be anybody. So it makes nobody a member; it only mails an invitation, for
that address alone, and is used up when one is accepted.
"""

import secrets
from datetime import datetime, timedelta
from typing import Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from accounts import mail
from accounts.models import User, as_typed
from accounts.throttle.budgets import count_mail, invitations_by, invitations_of
from audit.services import record
from environments.caller import Caller
from environments.domains import confirmations
from environments.granting import check_can_grant, lock_to_grant
from environments.invitations.services import TOKEN_BYTES, about_invitation, check_can_end
from environments.memberships import check_end, end_link
from environments.models import Invitation, InvitationLink, Membership, Organisation
from web.addresses import Address, address_of
from web.clock import LAST

LINK_LASTS: Final = timedelta(days=7)
MAILED_LASTS: Final = timedelta(days=1)


def create_link(
    organisation: Organisation,
    *,
    roles: list[str],
    until: datetime | None = None,
    note: str = "",
    by: Caller,
    now: datetime,
) -> tuple[InvitationLink, str]:
    """Create a link by which one person can join with these roles; return it, and its token, which is not kept.

    The membership ends at ``until`` if given. Raises ``ValidationError`` for no roles, an end in the past and
    ``TooManyTries``, ``PermissionDenied`` for a role with more permissions than ``by``.
    """
    check_can_grant(by, organisation, roles)
    check_end(until, now=now)
    count_mail(invitations_of(organisation.pk), invitations_by(by.require_person()))
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with transaction.atomic():
        lock_to_grant(by, organisation, roles)
        link = InvitationLink.objects.create(
            organisation=organisation,
            note=note.strip(),
            roles=sorted(set(roles)),
            membership_expires_at=until,
            token_hash=Invitation.hash_of(token),
            created_by=by.person,
            created_at=now,
            expires_at=min(now + LINK_LASTS, until or LAST),
        )
        after = {"roles": link.roles} | ({"membership_ends": until} if until else {})
        record("invitation_link.created", organisation, by=by, subject=link, after=after)
    return link, token


@transaction.atomic
def revoke_link(link: InvitationLink, *, by: Caller, now: datetime) -> None:
    """Revoke a link that was not used: it stops working, and so does the invitation that it mailed.

    Raises ``PermissionDenied`` if it still works and has a role with more permissions than ``by``.
    """
    check_can_revoke(link, by=by, now=now)
    end_link(link, by=by)


def check_can_revoke(link: InvitationLink, *, by: Caller, now: datetime) -> None:
    """Raise the errors of ``revoke_link``."""
    if link.expires_at > now:
        check_can_end(by, link.organisation, link.roles)


def open_link(token: str, *, now: datetime) -> InvitationLink | None:
    """Return the link with this token if it works now, else None."""
    return working_links(now=now).filter(token_hash=Invitation.hash_of(token)).first()


def working_links(*, now: datetime) -> QuerySet[InvitationLink]:
    """Return the links that somebody can join by now, with their organisation and who made them."""
    unused = InvitationLink.objects.filter(used_at=None, expires_at__gt=now, created_by__is_active=True)
    return unused.filter(organisation__is_suspended=False).select_related("organisation", "created_by")


@transaction.atomic
def mail_invitation(link_id: int, email: str, *, language: str, now: datetime) -> bool:
    """Mail an invitation to the address that somebody typed who opened a link; returns whether one was mailed.

    It replaces the one for another address that was typed before. Mails nothing if the link does not work any more or
    who made it could not make it now, nor to a member, to somebody whose account is closed, or to somebody with an
    invitation that does not come from this link.
    """
    link = working_links(now=now).filter(pk=link_id).select_for_update(of=("self",)).first()
    try:
        address = address_of(email)
    except ValidationError:
        return False
    if link is None or not confirmations.can_give(link.created_by, link.organisation, link.roles):
        return False
    Organisation.objects.select_for_update().get(pk=link.organisation_id)  # one open invitation an address
    if not _can_be_invited(address, link, now=now):
        return False
    of_address = Invitation.objects.filter(organisation=link.organisation, email=address.key, used_at=None)
    (of_address | link.invitations.filter(used_at=None)).delete()
    _mail(address, link, language=language, now=now)
    return True


def _can_be_invited(address: Address, link: InvitationLink, *, now: datetime) -> bool:
    of_address = Invitation.objects.filter(organisation=link.organisation, email=address.key, used_at=None)
    of_others = of_address.filter(by_domain=None, expires_at__gt=now).exclude(by_link=link)
    members = Membership.objects.live(now).filter(organisation=link.organisation, user__email=address.key)
    known = User.objects.with_address(address.key)
    return (known is None or known.is_active) and not of_others.exists() and not members.exists()


def _mail(address: Address, link: InvitationLink, *, language: str, now: datetime) -> None:
    token, known = secrets.token_urlsafe(TOKEN_BYTES), User.objects.with_address(address.key)
    invitation = Invitation.objects.create(
        organisation=link.organisation,
        email=address.key,
        typed_email=as_typed(address),
        roles=link.roles,
        membership_expires_at=link.membership_expires_at,
        token_hash=Invitation.hash_of(token),
        invited_by=link.created_by,
        by_link=link,
        created_at=now,
        expires_at=min(now + MAILED_LASTS, link.expires_at),
    )
    record("invitation.asked_for", link.organisation, by=None, subject=invitation, after={"roles": link.roles})
    context = {"invitation": invitation, "path": reverse("environments:invitation", args=[token])}
    to = known.mailbox if known else address.mailbox
    language = (known and known.language) or language
    expires_at, about = invitation.expires_at, about_invitation(invitation)
    mail.send_to(to, "link_invitation", context, language=language, expires_at=expires_at, about=about)
