"""Grant memberships, and end what depended on one that ended."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from audit.services import record
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.domains import confirmations
from environments.impersonation import services as impersonation
from environments.keys import suspension
from environments.models import Invitation, InvitationLink, Membership, Organisation
from web.addresses import readable
from web.clock import LAST


@transaction.atomic
def grant_membership(
    user: User,
    organisation: Organisation,
    *,
    roles: list[str],
    until: datetime | None = None,
    by: Caller,
    now: datetime | None = None,
) -> Membership:
    """Add these roles to those that ``user`` has on the organisation; accepted at once, and until an end if given.

    A membership that has expired, or was never accepted, starts again with these roles only. Raises ``ValidationError``
    for an unknown role, for an end in the past, for a user whose account is closed, and for an end where they are a
    member already, until another one: a role of a membership cannot end before the others.
    """
    if unknown := set(roles) - set(Role.values):
        raise ValidationError(_("Unknown role: %(roles)s") % {"roles": ", ".join(sorted(unknown))})
    now = now or timezone.now()
    check_end(until, now=now)
    # Locked, so that nobody closes the account meanwhile.
    if not User.objects.select_for_update(no_key=True).filter(pk=user.pk, is_active=True).first():
        raise ValidationError(_("The account of %(email)s is closed.") % {"email": user.email})
    membership, is_new = Membership.objects.select_for_update().get_or_create(
        user=user, organisation=organisation, defaults={"roles": sorted(roles), "accepted_at": now, "expires_at": until}
    )
    before = None if is_new else _as_recorded(membership)
    if membership.expires_at is not None and membership.expires_at <= now:
        end_what_depended_on_roles(user, ended_in=[organisation], by=by, now=now)
    if not membership.is_live(now):  # its old roles have ended and do not come back
        membership.roles, membership.accepted_at, membership.expires_at = [], now, until
        membership.end_mailed_at = None
    if until not in (None, membership.expires_at):
        message = _("%(email)s is a member of %(name)s already, with another end date.")
        raise ValidationError(message % {"email": readable(user.email), "name": organisation.name})
    membership.roles = sorted({*membership.roles, *roles})
    membership.save(update_fields=["roles", "accepted_at", "expires_at", "end_mailed_at"])
    record("membership.granted", organisation, by=by, subject=user, before=before, after=_as_recorded(membership))
    suspension.review_keys(now=now, person=user)  # what they have access to now can require a second factor
    return membership


def check_end(until: datetime | None, *, now: datetime) -> None:
    """Raise ``ValidationError`` for an end of a membership that is not in the future, or that no calendar has."""
    if until is not None and until <= now:
        raise ValidationError({"until": ValidationError(_("Choose a day that is not over yet."), code="past")})
    if until is not None and until > LAST:
        raise ValidationError({"until": ValidationError(_("Choose a year before 9000."), code="too_far")})


def _as_recorded(membership: Membership) -> dict[str, Any]:
    """Return the roles of a membership, and its end if it has one, for the audit log."""
    end = {"expires_at": membership.expires_at} if membership.expires_at else {}
    return {"roles": membership.roles, **end}


@transaction.atomic
def end_what_depended_on_roles(
    person: User, *, ended_in: Sequence[Organisation] = (), by: Caller, now: datetime, mails_person: bool = True
) -> None:
    """End what ``person``, who has just lost roles, is no longer entitled to.

    Suspends keys and withdraws invitations that they are responsible for, unconfirms domains, and ends impersonations
    by and of them. ``ended_in`` are the organisations whose memberships have ended: their personal keys lose access by
    these. They are mailed about each key that is revoked, unless ``mails_person`` is False.
    """
    if ended_in:
        suspension.end_keys_with_memberships(person, ended_in, by=by, now=now, mails_owner=mails_person)
    suspension.review_keys(now=now, person=person)
    confirmations.review_domains(now=now, person=person)
    impersonation.review_impersonations(now=now, of=person)
    revoke_unentitled_links(InvitationLink.objects.filter(created_by=person), by=by, now=now)
    withdraw_unentitled(Invitation.objects.filter(invited_by=person), by=by, now=now)


@transaction.atomic
def end_what_depended_on_place(organisation: Organisation, *, by: Caller, now: datetime) -> None:
    """End what nobody is responsible for since the organisation moved: below it, and of people with roles around it."""
    suspension.review_keys(now=now, around=organisation)
    for place in Organisation.objects.below(organisation).exclude(domains=None):
        confirmations.review_domains(now=now, of=place)
    impersonation.review_impersonations(now=now)
    below = Organisation.objects.below(organisation).order_by()
    revoke_unentitled_links(InvitationLink.objects.filter(organisation__in=below), by=by, now=now)
    withdraw_unentitled(Invitation.objects.filter(organisation__in=below), by=by, now=now)


@transaction.atomic
def end_what_nobody_is_responsible_for(*, now: datetime) -> None:
    """End keys, domains, invitations and impersonations that nobody is entitled to any more, such as after expiry."""
    suspension.revoke_all_of_closed_accounts(now=now)
    suspension.review_keys(now=now)
    confirmations.review_domains(now=now)
    impersonation.review_impersonations(now=now)
    without_maker = Q(created_by=None) | Q(created_by__is_active=False)
    revoke_unentitled_links(InvitationLink.objects.filter(without_maker), by=SYSTEM, now=now)
    without_inviter = Q(invited_by=None) | Q(invited_by__is_active=False)
    withdraw_unentitled(Invitation.objects.filter(without_inviter), by=SYSTEM, now=now)


def withdraw_unentitled(invitations: QuerySet[Invitation], *, by: Caller, now: datetime) -> None:
    """Withdraw those of these invitations that are open and that their inviter could not send any more."""
    open_ones = invitations.filter(used_at=None, expires_at__gt=now, by_domain=None)
    for invitation in open_ones.select_related("organisation", "invited_by").order_by("pk"):
        if not confirmations.can_give(invitation.invited_by, invitation.organisation, invitation.roles):
            record("invitation.withdrawn", invitation.organisation, by=by, subject=invitation)
            invitation.delete()


def revoke_unentitled_links(links: QuerySet[InvitationLink], *, by: Caller, now: datetime) -> None:
    """Revoke those of these links that work, and that who made them could not make any more."""
    open_ones = links.filter(used_at=None, expires_at__gt=now)
    for link in open_ones.select_related("organisation", "created_by").order_by("pk"):
        if not confirmations.can_give(link.created_by, link.organisation, link.roles):
            end_link(link, by=by)


@transaction.atomic
def end_link(link: InvitationLink, *, by: Caller) -> bool:
    """Delete a link that was not used, with the invitation that it mailed; return whether there was one.

    Locks the link first, as accepting that invitation does.
    """
    locked = InvitationLink.objects.select_for_update().filter(pk=link.pk, used_at=None).first()
    if locked is not None:
        record("invitation_link.revoked", link.organisation, by=by, subject=link)
        locked.delete()
    return locked is not None
