"""Our steps of the SSO pipeline, and the words for what goes wrong in it.

They decide on the signed claims of the ID token alone: ``response`` also holds what the userinfo endpoint said.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from django.contrib.auth import BACKEND_SESSION_KEY
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from social_core.exceptions import AuthCanceled, AuthPolicyError, AuthProviderError
from social_django.middleware import SocialAuthExceptionMiddleware

from accounts import mail, sessions
from accounts.compliance import requirers
from accounts.models import User
from accounts.oidc import MAX_AGE, PURPOSE, StudioOidc
from accounts.stepup import is_stepped_up
from audit.services import record

CLOCK_LEEWAY_SECONDS = 30
LOG_IN, STEP_UP, LINK = "log in", "step up", "link"

REASONS: dict[str, str | Promise] = {
    "acr": _("Your provider did not confirm the strength of log-in that is asked for here."),
    "amr": _("Your provider did not confirm that you used a second factor."),
    "auth_time": _("Your provider did not ask you to log in again."),
    "purpose": _("That log-in was started for another purpose. Begin again."),
    "other_identity": _("That identity belongs to somebody else."),
    "not_invited": _("Nobody at Studio is known by that identity. Ask for an invitation."),
    "invitation": _("This invitation is for another address, was used already, or has expired."),
}


@dataclass(frozen=True)
class Stamp:
    """Left on the request by the pipeline's last step: the proof that it ran to its end, for this backend."""

    backend: str  # dotted path
    authenticated_at: datetime | None  # the claim ``auth_time``
    is_proof: bool  # the provider was made to prove MFA


def deny(backend: StudioOidc, code: str) -> NoReturn:
    """Stop the pipeline; the visitor reads ``REASONS[code]`` on the log-in page."""
    raise AuthPolicyError(backend, code, code=code, stage="pipeline")


def check_claims(backend: StudioOidc, *args: Any, **kwargs: Any) -> None:
    """Refuse an ID token without the proof that the provider's entry asks for, or one older than asked for."""
    claims, provider = backend.id_token or {}, backend.provider
    if provider.get("acr") and claims.get("acr") not in provider["acr"]:
        deny(backend, "acr")
    methods = claims.get("amr")
    if provider.get("amr") and not (isinstance(methods, list) and {str(one) for one in methods} & set(provider["amr"])):
        deny(backend, "amr")
    max_age = backend.strategy.session_get(MAX_AGE)
    if max_age is not None:
        at = claims.get("auth_time")
        if type(at) is not int or time.time() - at > max_age + CLOCK_LEEWAY_SECONDS:
            deny(backend, "auth_time")


def check_purpose(
    backend: StudioOidc, strategy: Any, user: User | None = None, social: Any = None, *args: Any, **kwargs: Any
) -> dict[str, str]:
    """Let a signed-in visitor come back only for what he began: the library would link any identity to him."""
    visitor = strategy.request.user
    purpose = strategy.session_pop(PURPOSE) or LOG_IN
    strategy.session_pop(MAX_AGE)
    if not visitor.is_authenticated:
        if purpose != LOG_IN:
            deny(backend, "purpose")
        return {"purpose": LOG_IN}
    if purpose == STEP_UP:
        if social is None or social.user_id != visitor.pk:
            deny(backend, "other_identity")
        return {"purpose": STEP_UP}
    if purpose == LINK and social is None and is_stepped_up(strategy.request):
        return {"purpose": LINK}
    deny(backend, "purpose")


def verified_email(backend: StudioOidc) -> str | None:
    """Return the address that the provider vouches for, in lower case; None where it does not, or may not."""
    claims, provider = backend.id_token or {}, backend.provider
    email = claims.get("email")
    is_verified = claims.get("email_verified") is True or provider.get("email_is_trusted") is True
    if not is_verified or not isinstance(email, str) or email.count("@") != 1:
        return None
    email = email.strip().lower()
    only = provider.get("only_domains")
    return email if not only or email.rpartition("@")[2] in only else None


def is_unused(user: User) -> bool:
    """Tell whether the account was made for somebody who never came: only such a one is linked by e-mail."""
    is_untouched = user.is_active and user.last_login is None and not user.has_usable_password()
    return is_untouched and not user.social_auth.exists()


def require_user(backend: StudioOidc, user: User | None = None, *args: Any, **kwargs: Any) -> None:
    if user is None:
        deny(backend, "not_invited")


def stamp(
    backend: StudioOidc, strategy: Any, user: User, purpose: str, new_association: bool, *args: Any, **kwargs: Any
) -> None:
    """Close the pipeline: leave the proof for the log-in, or note the step-up; tell of a new identity."""
    claims, provider = backend.id_token or {}, backend.provider
    at = claims.get("auth_time")
    authenticated_at = datetime.fromtimestamp(at, UTC) if type(at) is int else None
    if authenticated_at and authenticated_at > timezone.now() + timedelta(seconds=CLOCK_LEEWAY_SECONDS):
        authenticated_at = None
    if new_association:
        title = provider.get("title", provider["id"])
        record("identity.linked", by=user, subject=user, after={"provider": title})
        for environment in requirers(user)[:100]:
            record("identity.linked", environment, by=user, subject=user, after={"provider": title})
        mail.send(user, "identity_linked", {"provider": title, "at": timezone.now()})
    if purpose == STEP_UP and strategy.request.session.get(BACKEND_SESSION_KEY):
        sessions.step_up(strategy.request, at=authenticated_at or timezone.now())
    if purpose == LOG_IN:
        path = f"{type(backend).__module__}.{type(backend).__name__}"
        is_proof = bool(provider.get("amr") or provider.get("acr"))
        strategy.request.sso_stamp = Stamp(path, authenticated_at, is_proof)


class SsoErrorMiddleware(SocialAuthExceptionMiddleware):
    """Says on the log-in page what went wrong, in words that help the visitor and tell a stranger nothing."""

    def get_message(self, request: HttpRequest, exception: Exception) -> str:
        if isinstance(exception, AuthPolicyError) and exception.code in REASONS:
            return str(REASONS[exception.code])
        if isinstance(exception, AuthCanceled):
            return str(_("You declined to log in at your provider."))
        if isinstance(exception, AuthProviderError):
            return str(_("Your provider does not answer. Try again later, or log in another way."))
        return str(_("Logging in through your provider did not work. Begin again."))
