"""Grant memberships, and end what rested on one."""

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
from environments.keys import resting
from environments.models import Invitation, Membership, Organisation


@transaction.atomic
def grant_membership(
    user: User,
    organisation: Organisation,
    *,
    roles: list[str],
    by: Caller,
    now: datetime | None = None,
) -> Membership:
    """Add these roles to those that ``user`` has on the organisation; accepted at once.

    A membership that has expired, or was never accepted, begins anew with these roles alone. Raises ``ValidationError``
    for an unknown role, and for somebody whose account is closed.
    """
    if unknown := set(roles) - set(Role.values):
        raise ValidationError(_("Unknown role: %(roles)s") % {"roles": ", ".join(sorted(unknown))})
    now = now or timezone.now()
    # Locked, so that an account that is closed meanwhile becomes no member.
    if not User.objects.select_for_update(no_key=True).filter(pk=user.pk, is_active=True).first():
        raise ValidationError(_("The account of %(email)s is closed.") % {"email": user.email})
    membership, is_new = Membership.objects.select_for_update().get_or_create(
        user=user, organisation=organisation, defaults={"roles": sorted(roles), "accepted_at": now}
    )
    before: dict[str, Any] | None = None if is_new else {"roles": membership.roles}
    if membership.expires_at is not None and membership.expires_at <= now:
        end_what_rested_on(membership, is_over=True, by=by, now=now)
    if not membership.is_live(now):  # giving other roles does not bring back those that have ended
        membership.roles, membership.accepted_at, membership.expires_at = [], now, None
    membership.roles = sorted({*membership.roles, *roles})
    membership.save(update_fields=["roles", "accepted_at", "expires_at"])
    record("membership.granted", organisation, by=by, subject=user, before=before, after={"roles": membership.roles})
    resting.review_all(now=now, by=user)  # what they reach now may ask for a second factor
    return membership


@transaction.atomic
def end_what_rested_on(membership: Membership, *, is_over: bool, by: Caller, now: datetime) -> None:
    """End keys, open invitations and confirmed domains that the member, with fewer permissions now, answers for.

    Impersonations by and of the member end too, where they lack what they rest on.

    With ``is_over`` the membership itself has ended; the member's own keys then forget it.
    """
    person = membership.user
    if is_over:
        resting.end_with_membership(person, membership.organisation, by=by, now=now)
    resting.review_all(now=now, by=person)
    confirmations.review_all(now=now, by=person)
    impersonation.review_all(now=now, of=person)
    end_invitations(Invitation.objects.filter(invited_by=person), by=by, now=now)


@transaction.atomic
def end_what_rested_on_place(organisation: Organisation, *, by: Caller, now: datetime) -> None:
    """End what nobody answers for since the organisation moved: below it, and of people with roles around it."""
    resting.review_all(now=now, around=organisation)
    for place in Organisation.objects.below(organisation).exclude(domains=None):
        confirmations.review_all(now=now, of=place)
    impersonation.review_all(now=now)
    below = Organisation.objects.below(organisation).order_by()
    end_invitations(Invitation.objects.filter(organisation__in=below), by=by, now=now)


@transaction.atomic
def end_what_nobody_answers_for(*, now: datetime) -> None:
    """End keys, domains, invitations and impersonations whose cause ended by itself: by time, a move, the gate…"""
    resting.end_of_closed_accounts(now=now)
    resting.review_all(now=now)
    confirmations.review_all(now=now)
    impersonation.review_all(now=now)
    unanswered = Q(invited_by=None) | Q(invited_by__is_active=False)
    end_invitations(Invitation.objects.filter(unanswered), by=SYSTEM, now=now)


def end_invitations(found: QuerySet[Invitation], *, by: Caller, now: datetime) -> None:
    """Withdraw those of these open invitations whose inviter could not send them any more."""
    open_ones = found.filter(used_at=None, expires_at__gt=now, by_domain=None)
    for invitation in open_ones.select_related("organisation", "invited_by").order_by("pk"):
        if not confirmations.can_give(invitation.invited_by, invitation.organisation, invitation.roles):
            record("invitation.withdrawn", invitation.organisation, by=by, subject=invitation)
            invitation.delete()
