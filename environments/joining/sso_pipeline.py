"""The steps of the SSO pipeline that turn an invitation, or a proven domain, into a person and a member."""

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


def match_invitation(
    backend: StudioOidc, strategy: Any, user: User | None = None, *args: Any, **kwargs: Any
) -> dict[str, Any] | None:
    """Find whom an identity that nobody has yet belongs to: an invitation opened in this session, or an address.

    The address counts only for the provider's own ``domains``: it finds an account that an administrator made and
    nobody ever used, or makes one for an organisation that has proven the domain and set auto-invite roles. For an
    identity that is known its e-mail plays no role any more.
    """
    if user is not None:
        return None
    address, token = verified_email(backend), strategy.session_get(INVITATION)
    if address is None:
        if token or would_count(backend):
            deny(backend, "no_email")
        return None
    if token:
        return {"user": invited(backend, token, address), "is_new": False}
    if not backend.is_pinned_to(address):
        return None
    known = User.objects.with_address(address.key)
    if known is not None:
        return {"user": known, "is_new": False} if is_unused(lock_person(known)) else None
    if domain := joinable_domain(address.key):
        return {"user": newcomer(backend, address), "is_new": False, "joins": domain}
    return None


def would_count(backend: StudioOidc) -> bool:
    """Tell whether the address of a visitor without an invitation would count if the provider confirmed it.

    One that it does not even name would; one of a domain that is not the provider's would not.
    """
    try:
        return not backend.claimed_email() or backend.is_pinned_to(address_of(backend.claimed_email()))
    except ValidationError:
        return False


def invited(backend: StudioOidc, token: str, address: Address) -> User:
    """Return the unused account of the invited address, made where there is none; anybody else is denied."""
    invitation = invitations.open_invitation(token, now=database_now())
    if invitation is None or invitation.email != address.key:
        deny(backend, "invitation")
    known = User.objects.with_address(address.key)
    if known is None:
        return newcomer(backend, address)
    if not is_unused(lock_person(known)):
        deny(backend, "invitation")
    return known


def newcomer(backend: StudioOidc, address: Address) -> User:
    """Make an account without a password; of two log-ins that make one for the same address, one begins again."""
    try:
        with transaction.atomic():
            user = User.objects.create_user(address.mailbox, name=full_name(backend))
    except (IntegrityError, ValidationError):
        deny(backend, "not_first")
    record("user.created", by=user, subject=user)
    return user


def accept_invitation(
    backend: StudioOidc, strategy: Any, user: User, joins: OrganisationDomain | None = None, *args: Any, **kwargs: Any
) -> None:
    """Give the person the membership of the invitation that was opened in this session, or of their domain, once."""
    now = database_now()
    if joins is not None:
        confirmations.review(joins, now=now)
        grant_membership(user, joins.organisation, roles=confirmations.roles_by(joins), by=Caller.of(user), now=now)
    token = strategy.session_pop(INVITATION)
    invitation = invitations.open_invitation(token, now=now) if token else None
    if invitation is not None:
        try:
            invitations.accept(invitation, user=user, now=now)
        except (PermissionDenied, ValidationError):
            deny(backend, "invitation")


def full_name(backend: StudioOidc) -> str:
    name = backend.full_name() or ""
    return "".join(character for character in name if not is_misleading(character))[:255]
