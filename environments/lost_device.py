"""Somebody lost his device and his recovery codes: who may let him begin again, and what ends with it."""

from datetime import datetime

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import factors
from accounts.models import User
from audit.services import record
from environments.access import permissions_in
from environments.choices import Role
from environments.models import ApiKey, Membership


def may_reset(by: User, user: User) -> bool:
    """Tell whether ``by`` administers everything that ``user`` reaches; for super users only another super user may.

    Somebody who reaches nothing is left to super users: nobody here can tell who he is.
    """
    if by.pk == user.pk:
        return False
    if by.is_superuser:
        return True
    reached = [one.organisation for one in Membership.objects.live().filter(user=user).select_related("organisation")]
    everything = Role.ADMINISTRATOR.permissions
    return bool(reached) and not user.is_superuser and all(permissions_in(by, node) >= everything for node in reached)


@transaction.atomic
def reset_factors(user: User, *, by: User | None, now: datetime) -> int:
    """Take every factor away from ``user``, end his sessions and revoke his API keys; he is mailed.

    Returns how many factors there were. ``by`` None means the command line. Raises ``PermissionDenied``.
    """
    if by is not None and not may_reset(by, user):
        raise PermissionDenied(_("Only who administers everything that this person reaches may reset his factors."))
    count = factors.reset(user, by=by, now=now)
    ApiKey.objects.filter(owner=user, revoked_at=None).update(revoked_at=now)
    for membership in Membership.objects.live().filter(user=user).select_related("organisation")[:100]:
        record("factors.reset", membership.organisation, by=by, subject=user)
    return count
