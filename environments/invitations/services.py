"""Invite people by mail, and accept invitations. Only the mail has the link: no page of the inviter or log shows it."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts import mail
from accounts.models import User, as_typed
from accounts.throttle.budgets import count_mail, invitations_by, invitations_of, mails_to_stranger
from audit.services import record
from environments.caller import Caller
from environments.choices import Role
from environments.domains import confirmations
from environments.granting import check_can_grant, grantable_roles, lock_to_grant
from environments.memberships import check_end, end_link, grant_membership
from environments.models import Invitation, InvitationLink, Membership, Organisation
from web.addresses import Address, address_of, readable
from web.clock import LAST

INVITATION_LASTS = timedelta(days=14)
TOKEN_BYTES = 32
NEEDED = ("organisation", "invited_by", "by_domain__confirmed_by", "by_domain__organisation__auto_invite_by")


def invite(
    organisation: Organisation,
    *,
    email: str,
    roles: list[str],
    until: datetime | None = None,
    by: Caller,
    now: datetime,
) -> Invitation:
    """Mail ``email`` a link to join the organisation with these roles; this replaces an open invitation.

    Revokes the invitation link that mailed that one, or a second person could join by it. The membership ends at
    ``until`` if given. Raises ``ValidationError`` for a malformed address, no roles, an end in the past and somebody
    who is a member there already, ``PermissionDenied`` for a role with more permissions than ``by``, in this invitation
    or the one that it replaces.
    """
    try:
        address = address_of(email)
    except ValidationError as error:
        raise ValidationError({"email": error}) from error
    check_can_grant(by, organisation, roles)
    check_end(until, now=now)
    count_mail(mails_to_stranger(address.key), invitations_of(organisation.pk), invitations_by(by.require_person()))
    return _invite(organisation, address, roles=roles, until=until, by=by, now=now)


@transaction.atomic
def _invite(
    organisation: Organisation,
    address: Address,
    *,
    roles: list[str],
    until: datetime | None,
    by: Caller,
    now: datetime,
) -> Invitation:
    lock_to_grant(by, organisation, roles)
    if Membership.objects.live(now).filter(organisation=organisation, user__email=address.key).exists():
        raise ValidationError({"email": _("%(email)s is already a member here.") % {"email": readable(address.key)}})
    replaced = Invitation.objects.filter(organisation=organisation, email=address.key, used_at=None)
    # Locked before the organisation, as where somebody types their address.
    links = InvitationLink.objects.filter(invitations__in=replaced).select_for_update(of=("self",)).order_by("pk")
    replaced_links = list(links)
    Organisation.objects.select_for_update().get(pk=organisation.pk)  # one open invitation an address
    check_can_end(by, organisation, roles_of_open_invitation(organisation, email=address.key, now=now))
    for link in replaced_links:
        end_link(link, by=by)
    replaced.delete()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    invitation = Invitation.objects.create(
        organisation=organisation,
        email=address.key,
        typed_email=as_typed(address),
        roles=sorted(set(roles)),
        membership_expires_at=until,
        token_hash=Invitation.hash_of(token),
        invited_by=by.person,
        created_at=now,
        expires_at=min(now + INVITATION_LASTS, until or LAST),
    )
    after = {"roles": invitation.roles} | ({"membership_ends": until} if until else {})
    record("invitation.sent", organisation, by=by, subject=invitation, after=after)
    context = {"invitation": invitation, "path": reverse("environments:invitation", args=[token])}
    known = User.objects.with_address(address.key)
    expires_at, about = invitation.expires_at, about_invitation(invitation)
    if known is not None:
        mail.send(known, "invitation", context, expires_at=expires_at, about=about)
    else:
        language = get_language() or "en"
        mail.send_to(address.mailbox, "invitation", context, language=language, expires_at=expires_at, about=about)
    return invitation


def about_invitation(invitation: Invitation) -> str:
    """Return ``Delivery.about`` for a mail with a link to join: one text for an organisation and an address.

    When an invitation ends, triggers withdraw its mail by the same text (migration 0017).
    """
    return f"invitation {invitation.organisation_id} {hashlib.sha256(invitation.email.encode()).hexdigest()[:32]}"


@transaction.atomic
def withdraw_invitation(invitation: Invitation, *, by: Caller, now: datetime) -> None:
    """Withdraw an open invitation: its link stops working, and its mail is not sent if it still waits.

    Also revokes the invitation link that it came from: whoever has that could have it mailed again.
    Raises ``PermissionDenied`` if it can still be accepted and has a role with more permissions than ``by``.
    """
    check_can_withdraw(invitation, by=by, now=now)
    if (link := invitation.by_link) is not None:
        was_open = end_link(link, by=by)
    else:
        was_open = Invitation.objects.filter(pk=invitation.pk, used_at=None).delete()[0] > 0
    if was_open:
        record("invitation.withdrawn", invitation.organisation, by=by, subject=invitation)


def check_can_withdraw(invitation: Invitation, *, by: Caller, now: datetime) -> None:
    """Raise the errors of ``withdraw_invitation``."""
    if invitation.expires_at > now:
        check_can_end(by, invitation.organisation, invitation.roles)


def roles_of_open_invitation(organisation: Organisation, *, email: str, now: datetime) -> list[str]:
    """Return the roles of the invitation that this address can accept in the organisation; empty if there is none."""
    open_ones = Invitation.objects.filter(organisation=organisation, used_at=None, expires_at__gt=now)
    invitation = open_ones.filter(email=User.objects.normalise(email)).first()
    return invitation.roles if invitation else []


def check_can_end(by: Caller, organisation: Organisation, roles: list[str]) -> None:
    """Raise ``PermissionDenied`` where an open invitation has one of these roles that ``by`` cannot give."""
    if set(roles) - set(grantable_roles(by, organisation)):
        raise InvitationAboveOwn


class InvitationAboveOwn(PermissionDenied):
    """A caller ends or replaces an invitation to a role that they could not give."""

    def __init__(self) -> None:
        super().__init__(_("This invitation has a role with more permissions than your own."))


def open_invitation(token: str, *, now: datetime) -> Invitation | None:
    """Return the invitation of a mailed token if it can be accepted now, else None."""
    open_ones = Invitation.objects.filter(used_at=None, expires_at__gt=now, organisation__is_suspended=False)
    has_inviter = Q(by_domain=None, invited_by__isnull=False) | Q(by_domain__verified_at__isnull=False)
    invitations = open_ones.filter(has_inviter, token_hash=Invitation.hash_of(token))
    return invitations.select_related(*NEEDED).first()


@transaction.atomic
def accept_invitation(invitation: Invitation, *, user: User, now: datetime) -> Membership:
    """Make ``user`` a member with the invitation's roles, once.

    Raises ``PermissionDenied`` for a user with another address and if the inviter can no longer give the roles,
    ``ValidationError`` if the invitation was used meanwhile or has expired, and where they are a member with another
    end date.
    """
    if user.email != invitation.email:
        raise PermissionDenied(_("This invitation is for another address."))
    _use_up(invitation, now=now)
    if invitation.by_domain is not None:
        confirmations.review_domain(invitation.by_domain, now=now)
    check_roles_still_given(invitation)
    return grant_membership(
        user,
        invitation.organisation,
        roles=roles_given_now(invitation),
        until=invitation.membership_expires_at,
        by=Caller.of(invitation.invited_by or user),
        now=now,
    )


def _use_up(invitation: Invitation, *, now: datetime) -> None:
    """Mark an invitation, and the link that it came from, as used; locks the link first, as typing an address does."""
    is_left = True
    if invitation.by_link_id is not None:
        links = InvitationLink.objects.filter(pk=invitation.by_link_id, used_at=None, expires_at__gt=now)
        is_left = links.update(used_at=now) == 1
    if not is_left or not Invitation.objects.filter(pk=invitation.pk, used_at=None, expires_at__gt=now).update(
        used_at=now
    ):
        raise ValidationError(_("This invitation was used, or has expired. Ask for a new one."))


def roles_given_now(invitation: Invitation) -> list[str]:
    """Return the roles that accepting gives now: only Member if nobody is responsible for the roles of its domain."""
    if (domain := invitation.by_domain) is not None and not confirmations.is_confirmed(domain):
        return [Role.MEMBER]
    return invitation.roles


def check_roles_still_given(invitation: Invitation) -> None:
    """Raise ``PermissionDenied`` if the inviter, or the organisation of its domain, no longer gives the roles."""
    if (domain := invitation.by_domain) is not None:
        given = set(domain.organisation.auto_invite_roles)
        if domain.unconfirmed_since is not None and domain.unconfirmed_since <= invitation.created_at:
            given = {*confirmations.roles_given_by(domain)}  # as when the link was mailed
        if domain.verified_at is None or set(invitation.roles) - given:
            raise PermissionDenied(_("This organisation now accepts people by invitation only."))
        return
    if invitation.invited_by is None or not invitation.invited_by.is_active:
        raise PermissionDenied(_("The person who invited you can no longer do so. Ask for a new invitation."))
    check_can_grant(Caller.of(invitation.invited_by), invitation.organisation, invitation.roles)


@transaction.atomic
def accept_as_new_user(invitation: Invitation, *, name: str, password: str, now: datetime) -> User:
    """Create the invited person's account with a password, and make them a member. Opens no session.

    Raises ``ValidationError`` by field for a password or name that the rules refuse, and the errors of
    ``accept_invitation``.
    """
    try:
        validate_password(password, User(email=invitation.email, name=name))
    except ValidationError as error:
        raise ValidationError({"password": error}) from error
    try:
        with transaction.atomic():
            user = User.objects.create_user(invitation.mailbox, password, name=name.strip())
    except (IntegrityError, ValidationError) as error:
        if isinstance(error, ValidationError) and "email" not in error.error_dict:
            raise
        raise ValidationError(_("This address already has an account. Log in to accept the invitation.")) from None
    record("user.created", by=user, subject=user)
    accept_invitation(invitation, user=user, now=now)
    return user


INVITATION = "studio_invitation"  # session key of the raw token of a mailed link that was opened
