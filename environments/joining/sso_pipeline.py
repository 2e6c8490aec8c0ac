"""Steps of the SSO pipeline: find or create an account by an invitation or a verified domain, and make it a member."""

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.names import is_misleading
from accounts.sso.oidc import StudioOidc
from accounts.sso.pipeline import deny, is_unused, verified_email
from accounts.standing import lock_person
from audit.services import record
from environments.caller import Caller
from environments.domains import confirmations
from environments.invitations import services as invitations
from environments.invitations.services import INVITATION
from environments.joining.services import joinable_domain
from environments.memberships import grant_membership
from environments.models import OrganisationDomain
from web.addresses import Address, address_of
from web.clock import database_now


def find_account(
    backend: StudioOidc, strategy: Any, user: User | None = None, *args: Any, **kwargs: Any
) -> dict[str, Any] | None:
    """Return the account for a new identity: by an invitation opened in this session, or by its address.

    An address counts only at the provider's own ``domains``: it finds an account that an administrator created and
    nobody used, or creates one if an organisation has verified the domain and set auto-invite roles. The address of a
    known identity does not matter.
    """
    if user is not None:
        return None
    address, token = verified_email(backend), strategy.session_get(INVITATION)
    if address is None:
        if token or address_would_count(backend):
            deny(backend, "no_email")
        return None
    if token:
        return {"user": invited_account(backend, token, address), "is_new": False}
    if not backend.is_pinned_to(address):
        return None
    known = User.objects.with_address(address.key)
    if known is not None:
        if not is_unused(lock_person(known)):
            deny(backend, "link_first")
        return {"user": known, "is_new": False}
    if domain := joinable_domain(address.key):
        return {"user": create_account(backend, address), "is_new": False, "joins": domain}
    return None


def address_would_count(backend: StudioOidc) -> bool:
    """Return whether the address of a visitor without an invitation would count if the provider confirmed it.

    True also if the provider names no address; False for an address at a domain that is not the provider's.
    """
    try:
        return not backend.claimed_email() or backend.is_pinned_to(address_of(backend.claimed_email()))
    except ValidationError:
        return False


def invited_account(backend: StudioOidc, token: str, address: Address) -> User:
    """Return the unused account of the invited address, or create it; deny everybody else."""
    invitation = invitations.open_invitation(token, now=database_now())
    if invitation is None or invitation.email != address.key:
        deny(backend, "invitation")
    known = User.objects.with_address(address.key)
    if known is None:
        return create_account(backend, address)
    if not is_unused(lock_person(known)):
        deny(backend, "invitation")
    return known


def create_account(backend: StudioOidc, address: Address) -> User:
    """Create an account without a password; if another log-in creates the same one now, this log-in is denied."""
    try:
        with transaction.atomic():
            user = User.objects.create_user(address.mailbox, name=full_name(backend))
    except (IntegrityError, ValidationError):
        deny(backend, "not_first")
    record("user.created", by=user, subject=user)
    return user


def join_organisation(
    backend: StudioOidc, strategy: Any, user: User, joins: OrganisationDomain | None = None, *args: Any, **kwargs: Any
) -> None:
    """Make the person a member by the invitation that was opened in this session, or by their domain; once."""
    now = database_now()
    if joins is not None:
        confirmations.review_domain(joins, now=now)
        grant_membership(
            user, joins.organisation, roles=confirmations.roles_given_by(joins), by=Caller.of(user), now=now
        )
    token = strategy.session_pop(INVITATION)
    invitation = invitations.open_invitation(token, now=now) if token else None
    if invitation is not None:
        try:
            invitations.accept_invitation(invitation, user=user, now=now)
        except (PermissionDenied, ValidationError):
            deny(backend, "invitation")


def full_name(backend: StudioOidc) -> str:
    """Return the name that the provider gives, without misleading characters."""
    name = backend.full_name() or ""
    return "".join(character for character in name if not is_misleading(character))[:255]
