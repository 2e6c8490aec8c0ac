"""What ends with a membership, or with a role of it: what was to work later on that person's word, or by their eyes."""

from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from audit.services import Actor, record
from environments import confirmations, impersonation, resting
from environments.models import Invitation, Membership, Organisation


@transaction.atomic
def end_what_rested_on(membership: Membership, *, is_over: bool, by: Actor | None, now: datetime) -> None:
    """End keys, open invitations and confirmed domains that the member, with fewer permissions now, answers for.

    Impersonations by and of the member end too, where they may not go on.

    ``is_over`` tells that the membership itself has ended; the member's own keys then forget it.
    """
    person = membership.user
    if is_over:
        resting.end_with_membership(person, membership.organisation, by=by, now=now)
    resting.review_all(now=now, by=person)
    confirmations.review_all(now=now, by=person)
    impersonation.review_all(now=now, of=person)
    end_invitations(Invitation.objects.filter(invited_by=person), by=by, now=now)


@transaction.atomic
def end_what_rested_on_place(organisation: Organisation, *, by: Actor | None, now: datetime) -> None:
    """End what nobody answers for since the organisation stands elsewhere: there, and with whom it has to do."""
    resting.review_all(now=now, around=organisation)
    for place in Organisation.objects.below(organisation).exclude(domains=None):
        confirmations.review_all(now=now, of=place)
    impersonation.review_all(now=now)
    below = Organisation.objects.below(organisation).order_by()
    end_invitations(Invitation.objects.filter(organisation__in=below), by=by, now=now)


@transaction.atomic
def end_what_nobody_answers_for(*, now: datetime) -> None:
    """End keys, domains, invitations and impersonations whose cause ended otherwise: by time, a move, the gate…"""
    resting.end_of_closed_accounts(now=now)
    resting.review_all(now=now)
    confirmations.review_all(now=now)
    impersonation.review_all(now=now)
    unanswered = Q(invited_by=None) | Q(invited_by__is_active=False)
    end_invitations(Invitation.objects.filter(unanswered), by=None, now=now)


def end_invitations(found: QuerySet[Invitation], *, by: Actor | None, now: datetime) -> None:
    """Withdraw those of these open invitations whose inviter could not send them any more."""
    open_ones = found.filter(used_at=None, expires_at__gt=now, by_domain=None)
    for invitation in open_ones.select_related("organisation", "invited_by").order_by("pk"):
        if not confirmations.can_give(invitation.invited_by, invitation.organisation, invitation.roles):
            record("invitation.withdrawn", invitation.organisation, by=by, subject=invitation)
            invitation.delete()
