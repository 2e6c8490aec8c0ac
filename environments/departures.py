"""What ends with a membership, or with a role of it: whatever was to work later on that person's word."""

from datetime import datetime

from django.db import transaction

from audit.services import Actor, record
from environments import confirmations, resting
from environments.models import Invitation, Membership


@transaction.atomic
def end_what_rested_on(membership: Membership, *, is_over: bool, by: Actor | None, now: datetime) -> None:
    """End keys, open invitations and confirmed domains that the member, with fewer permissions now, answers for.

    ``is_over`` tells that the membership itself has ended; the member's own keys then forget it.
    """
    person = membership.user
    if is_over:
        resting.end_with_membership(person, membership.organisation, by=by, now=now)
    resting.review_all(now=now, by=person)
    confirmations.review_all(now=now, by=person)
    open_ones = Invitation.objects.filter(invited_by=person, used_at=None, expires_at__gt=now)
    for invitation in open_ones.select_related("organisation").order_by("pk"):
        if not confirmations.can_give(person, invitation.organisation, invitation.roles):
            invitation.delete()
            record("invitation.withdrawn", invitation.organisation, by=by, subject=invitation)
