"""Our steps of the SSO pipeline; ``accounts.sso.refusals`` has its error messages.

They decide by the signed claims of the ID token only: ``response`` also holds what userinfo returned.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from django.contrib.auth import BACKEND_SESSION_KEY
from django.core.exceptions import ValidationError
from django.utils import timezone
from social_core.exceptions import AuthPolicyError

from accounts.choices import SsoPurpose
from accounts.models import User
from accounts.providers import basis_of, can_confirm, is_on, known, lacks, lets_in
from accounts.sessions import services as sessions
from accounts.sso import identities
from accounts.sso.id_tokens import CLOCK_LEEWAY_SECONDS
from accounts.sso.oidc import StudioOidc
from accounts.standing import lock_person, lock_to_act
from accounts.stepup import is_stepped_up
from web.addresses import Address, address_of


@dataclass(frozen=True)
class Stamp:
    """Set on the request by the pipeline's last step: proof that it was completed, for this backend."""

    backend: str  # dotted path
    authenticated_at: datetime | None  # the claim ``auth_time``
    is_proof: bool  # the provider had to prove MFA
    basis: dict[str, Any]  # ``accounts.providers.basis_of``


def deny(backend: StudioOidc, code: str) -> NoReturn:
    """Stop the pipeline; the visitor sees the message of ``code`` on the page where they started."""
    raise AuthPolicyError(backend, code, code=code, stage="pipeline")


def check_claims(backend: StudioOidc, *args: Any, **kwargs: Any) -> None:
    """Refuse an ID token without the proof that the provider's entry requires, or with a log-in that is too old."""
    claims, provider = backend.id_token or {}, backend.provider
    if not is_on(provider):
        deny(backend, "off")
    if code := backend.refusal_code():
        deny(backend, code)
    if backend.uid() is None:
        deny(backend, "nobody")
    if code := lacks(provider, basis_of(provider, claims)):
        deny(backend, code)
    if backend.purpose == SsoPurpose.STEP_UP:
        at = claims.get("auth_time")
        if type(at) is not int:
            deny(backend, "no_auth_time")
        earliest, latest = backend.begun["timestamp"] - CLOCK_LEEWAY_SECONDS, time.time() + CLOCK_LEEWAY_SECONDS
        if not earliest <= at <= latest:
            deny(backend, "auth_time")


def check_purpose(
    backend: StudioOidc, strategy: Any, user: User | None = None, social: Any = None, *args: Any, **kwargs: Any
) -> dict[str, SsoPurpose]:
    """Refuse a logged-in visitor who did not start this purpose: the library would link any identity to them."""
    visitor, purpose = strategy.request.user, backend.purpose
    if not visitor.is_authenticated:
        if purpose != SsoPurpose.LOG_IN:
            deny(backend, "purpose")
        return {"purpose": purpose}
    if purpose == SsoPurpose.STEP_UP:
        if not can_confirm(backend.provider, visitor.pk):
            deny(backend, "no_auth_time")
        if social is None or social.user_id != visitor.pk:
            deny(backend, "other_identity")
        return {"purpose": purpose}
    if purpose == SsoPurpose.LINK and is_stepped_up(strategy.request):
        lock_to_act(visitor, is_fresh=True)
        if social is not None:
            deny(backend, "linked_already" if social.user_id == visitor.pk else "other_identity")
        return {"purpose": purpose}
    deny(backend, "purpose")


def verified_email(backend: StudioOidc) -> Address | None:
    """Return the address that the provider vouches for, or None."""
    try:
        address = address_of(backend.email() or "")
    except ValidationError:
        return None
    return address if backend.vouches_for(address) else None


def authenticated_at(backend: StudioOidc) -> datetime | None:
    """Return when the provider authenticated the user; None if it does not say, or names a time in the future."""
    at = (backend.id_token or {}).get("auth_time")
    if type(at) is not int or not 0 <= at <= time.time() + CLOCK_LEEWAY_SECONDS:
        return None
    return min(datetime.fromtimestamp(at, UTC), timezone.now())


def is_unused(user: User) -> bool:
    """Return whether nobody ever logged in to the account: only such accounts are linked by e-mail address."""
    is_untouched = user.is_active and user.last_login is None and not user.has_usable_password()
    return is_untouched and not user.social_auth.exists()


def require_user(backend: StudioOidc, user: User | None = None, *args: Any, **kwargs: Any) -> None:
    if user is None:
        deny(backend, "not_invited")
    if not user.is_active:
        deny(backend, "inactive")
    if not lets_in(backend.provider, user):
        deny(backend, "not_let_in")


def stamp(
    backend: StudioOidc,
    strategy: Any,
    user: User,
    purpose: SsoPurpose,
    new_association: bool,
    *args: Any,
    **kwargs: Any,
) -> None:
    """Complete the pipeline: set the proof for the log-in or store the step-up, and announce a new identity."""
    provider = backend.provider
    if provider != known(backend.name):
        deny(backend, "off")  # turned off or changed meanwhile
    at = authenticated_at(backend) if can_confirm(provider, user.pk) else None
    if new_association:
        identities.announce_link(user, backend.name, now=timezone.now())
    if purpose == SsoPurpose.STEP_UP and strategy.request.session.get(BACKEND_SESSION_KEY):
        sessions.step_up(strategy.request, user, at=at or timezone.now())
    if purpose == SsoPurpose.LOG_IN:
        lock_person(user)
        if not user.social_auth.filter(provider=backend.name, uid=kwargs["uid"]).exists():
            deny(backend, "not_invited")  # unlinked meanwhile
        sessions.end_this(strategy.request, why="replaced")  # the user held by the gate, if any
        path = f"{type(backend).__module__}.{type(backend).__name__}"
        is_proof = bool(provider.get("amr") or provider.get("acr"))
        strategy.request.sso_stamp = Stamp(path, at, is_proof, basis_of(provider, backend.id_token or {}))
