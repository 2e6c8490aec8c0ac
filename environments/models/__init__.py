"""The tree of organisations, its two settings, memberships, and keys."""

from environments.models.domains import OrganisationDomain
from environments.models.keys import ApiKey
from environments.models.memberships import (
    AccessRequest,
    AccessRequestQuerySet,
    Invitation,
    InvitationLink,
    Membership,
    MembershipQuerySet,
)
from environments.models.mfa import MfaChange, MfaReminder
from environments.models.opened import OpenedEnvironment
from environments.models.organisations import (
    Organisation,
    OrganisationManager,
    OrganisationQuerySet,
    is_at_or_below,
)
from environments.models.providers import IdentityProvider
from environments.models.reserved_slugs import ReservedSlug
from environments.models.scheduled import ScheduledChange

__all__ = [
    "AccessRequest",
    "AccessRequestQuerySet",
    "ApiKey",
    "IdentityProvider",
    "Invitation",
    "InvitationLink",
    "Membership",
    "MembershipQuerySet",
    "MfaChange",
    "MfaReminder",
    "OpenedEnvironment",
    "Organisation",
    "OrganisationDomain",
    "OrganisationManager",
    "OrganisationQuerySet",
    "ReservedSlug",
    "ScheduledChange",
    "is_at_or_below",
]
