"""The steps of the SSO pipeline that turn an invitation into a person, and a person into a member."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.oidc import StudioOidc
from accounts.sso import deny, is_unused, verified_email
from environments.models import Invitation
from environments.services import grant_membership

INVITATION = "studio_invitation"  # session key; holds the raw token of a mailed link that was opened


def match_invitation(
    backend: StudioOidc, strategy: Any, user: User | None = None, *args: Any, **kwargs: Any
) -> dict[str, Any] | None:
    """Find whom an identity that nobody has yet belongs to: an invitation opened in this session, or an address.

    The address counts only for the provider's own ``domains``, and only for an account that an administrator made and
    nobody ever used. For an identity that is known its e-mail plays no role any more.
    """
    if user is not None:
        return None
    email = verified_email(backend)
    if token := strategy.session_get(INVITATION):
        invitation = open_invitation(token)
        if invitation is None or email is None or invitation.email.lower() != email:
            deny(backend, "invitation")
        known = User.objects.filter(email=email).first()
        if known is None:
            return {"user": User.objects.create_user(email, name=full_name(backend)), "is_new": False}
        if is_unused(known):
            return {"user": known, "is_new": False}
        deny(backend, "invitation")
    if email and email.rpartition("@")[2] in backend.provider.get("domains", []):
        known = User.objects.filter(email=email).first()
        if known and is_unused(known):
            return {"user": known, "is_new": False}
    return None


def accept_invitation(backend: StudioOidc, strategy: Any, user: User, *args: Any, **kwargs: Any) -> None:
    """Give the person the membership of the invitation that was opened in this session, once."""
    token = strategy.session_pop(INVITATION)
    if not token:
        return
    now = timezone.now()
    with transaction.atomic():
        invitation = open_invitation(token, lock=True)
        if invitation is None or invitation.email.lower() != user.email:
            return
        invitation.used_at = now
        invitation.save(update_fields=["used_at"])
        grant_membership(
            user, invitation.organisation, roles=invitation.roles, by=invitation.invited_by or user, now=now
        )


def open_invitation(token: str, *, lock: bool = False) -> Invitation | None:
    """Return the invitation of a raw token while it can be accepted."""
    invitations = Invitation.objects.select_for_update(of=["self"]) if lock else Invitation.objects
    open_ones = invitations.filter(used_at=None, expires_at__gt=timezone.now())
    return open_ones.filter(token_hash=Invitation.hash_of(token)).select_related("organisation", "invited_by").first()


def full_name(backend: StudioOidc) -> str:
    name = (backend.id_token or {}).get("name")
    return name[:255] if isinstance(name, str) else ""
