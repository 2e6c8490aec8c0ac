"""The memberships of one person, for their own pages."""

from accounts.models import User
from environments.models import Membership, MembershipQuerySet


def memberships_of(user: User) -> MembershipQuerySet:
    """Return the live memberships of ``user`` with their organisations, in alphabetical order."""
    live = Membership.objects.live().filter(user=user)
    return live.select_related("organisation").order_by("organisation__name", "pk")
