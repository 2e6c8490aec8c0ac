"""Join by mail: a person who enters an address of a verified domain is mailed a link to become a member."""

import secrets
from datetime import datetime, timedelta
from typing import Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from accounts import mail
from accounts.models import User, as_typed
from audit.services import record
from environments.domains import confirmations
from environments.invitations.services import TOKEN_BYTES, about_invitation
from environments.models import Invitation, Membership, Organisation, OrganisationDomain
from web.addresses import address_of

JOIN_LINK_LASTS: Final = timedelta(days=1)


def joinable_domain(email: str) -> OrganisationDomain | None:
    """Return the verified domain of an address if its organisation is live and has auto-invite roles, else None."""
    try:
        address = address_of(email)
    except ValidationError:
        return None
    verified = OrganisationDomain.objects.filter(
        domain=address.domain, verified_at__isnull=False, organisation__is_suspended=False
    )
    verified = verified.select_related("organisation__auto_invite_by", "confirmed_by")
    return verified.exclude(organisation__auto_invite_roles=[]).first()


@transaction.atomic
def mail_join_link(email: str, *, language: str, now: datetime) -> bool:
    """Mail a link to join to this address; returns whether one was mailed.

    Mails nothing if no organisation with auto-invite roles has verified the domain, nor to a member, to somebody whose
    account is closed, or to somebody with an open invitation, whose roles a person chose. A newer link replaces an
    older one.
    """
    try:
        address = address_of(email)
    except ValidationError:
        return False
    domain = joinable_domain(address.key)
    known = User.objects.with_address(address.key)
    if domain is None or (known and not known.is_active):
        return False
    organisation = Organisation.objects.select_for_update().get(pk=domain.organisation_id)  # one link an address
    open_ones = Invitation.objects.filter(organisation=organisation, email=address.key, used_at=None)
    if Membership.objects.live(now).filter(organisation=organisation, user__email=address.key).exists():
        return False
    if open_ones.filter(by_domain=None, expires_at__gt=now).exists():
        return False
    open_ones.delete()
    confirmations.review_domain(domain, now=now)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    invitation = Invitation.objects.create(
        organisation=organisation,
        email=address.key,
        typed_email=as_typed(address),
        roles=confirmations.roles_given_by(domain),
        token_hash=Invitation.hash_of(token),
        by_domain=domain,
        created_at=now,
        expires_at=now + JOIN_LINK_LASTS,
    )
    record("invitation.asked_for", organisation, by=None, subject=invitation, after={"roles": invitation.roles})
    context = {"invitation": invitation, "path": reverse("environments:invitation", args=[token])}
    to = known.mailbox if known else address.mailbox
    language = (known and known.language) or language
    expires_at, about = invitation.expires_at, about_invitation(invitation)
    mail.send_to(to, "join_link", context, language=language, expires_at=expires_at, about=about)
    return True


def delete_expired_links(*, now: datetime) -> int:
    """Delete expired links, so that made-up addresses do not pile up among the invitations; returns how many."""
    asked_for = Q(by_domain__isnull=False) | Q(by_link__isnull=False)
    return Invitation.objects.filter(asked_for, used_at=None, expires_at__lte=now).delete()[0]
