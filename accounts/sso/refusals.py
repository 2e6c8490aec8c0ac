"""A log-in through a provider that came to nothing: what the visitor reads, where they land, what is written down."""

import logging
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from social_core.exceptions import (
    AuthInputError,
    AuthPolicyError,
    AuthProviderError,
    AuthResponseError,
    AuthSessionError,
    SocialAuthBaseException,
)

from accounts.choices import SsoPurpose
from accounts.gate import safe_next
from accounts.models import User
from accounts.providers import title_of
from accounts.requests import SignInRequest
from accounts.sso.oidc import StudioOidc
from audit.services import record

logger = logging.getLogger(__name__)
REASONS: dict[str, str | Promise] = {
    "acr": _("Your provider did not confirm the strength of log-in that is asked for here."),
    "amr": _("Your provider did not confirm that you used a second factor."),
    "auth_time": _("Your provider did not ask you to log in again."),
    "no_auth_time": _(
        "Your provider does not say when you logged in, so it cannot confirm that it is you now. Add an app or a "
        "passkey under Profile › Security and confirm with that."
    ),
    "nobody": _("Your provider did not say who you are. Tell whoever manages it there."),
    "tenant": _("Your organisation's directory is not among those that may log in here."),
    "purpose": _("That log-in was started for another purpose. Begin again."),
    "linked_already": _("That identity is linked to your account already."),
    "other_identity": _("That identity belongs to somebody else."),
    "no_email": _(
        "Your provider did not confirm an e-mail address. Ask whoever manages it to have your address confirmed."
    ),
    "not_invited": _("Nobody at Studio is known by that identity. Ask for an invitation."),
    "inactive": _("This account is switched off. Ask an Administrator of your organisation."),
    "invitation": _("This invitation is for another address, was used already, or has expired."),
}
_ASKS_NOT = _("Your provider has something to ask you first. Begin again, and answer it there.")
_SET_UP = _("Your provider does not accept Studio as it is set up. Tell whoever manages it there.")
_NOT_NOW = _("Your provider logs nobody in at this moment. Try again later, or log in another way.")
_BEGIN_AGAIN = _("Logging in through your provider did not work. Begin again.")
# What a provider may answer: OAuth 2.0 (RFC 6749, sections 4.1.2.1 and 5.2), OpenID Connect Core 1.0, section 3.1.2.6.
ERRORS: Final[dict[str, Promise]] = {
    "access_denied": _(
        "Your provider did not let you in here: you declined, or it does not allow you to. Begin again, or choose "
        "another way."
    ),
    "login_required": _("You are not logged in at your provider. Begin again, and log in there."),
    "consent_required": _("Your provider needs your consent first. Begin again, and give it there."),
    "interaction_required": _ASKS_NOT,
    "account_selection_required": _(
        "Your provider does not know which account you mean. Begin again, and choose there."
    ),
    "unmet_authentication_requirements": _(
        "Your provider could not log you in as strongly as is asked for here. Choose another way."
    ),
    "temporarily_unavailable": _NOT_NOW,
    "server_error": _NOT_NOW,
    "invalid_grant": _BEGIN_AGAIN,
    **dict.fromkeys(
        (
            *("invalid_request", "invalid_client", "invalid_scope", "unauthorized_client", "unsupported_grant_type"),
            *("unsupported_response_type", "request_not_supported", "request_uri_not_supported", "invalid_target"),
            *("registration_not_supported", "invalid_request_object", "invalid_request_uri"),
        ),
        _SET_UP,
    ),
}
# What Studio itself finds in the way of an exchange.
OURS: Final[dict[str, Promise]] = {
    "busy": _("Many people are logging in at this moment. Wait a few seconds and try again."),
    "other_issuer": _(
        "Studio knows your provider by another address than the one that it calls itself by. Tell whoever runs Studio."
    ),
}
OTHER_ERROR = _("Your provider refused the log-in. Ask whoever manages it there, or log in another way.")
ERROR_CODE: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,60}")


def words_for(error: SocialAuthBaseException) -> str:
    """Return what the visitor reads: it helps them, and tells a stranger nothing."""
    if isinstance(error, AuthPolicyError) and error.code in REASONS:
        return str(REASONS[error.code])
    if error.provider_code is not None:
        return str(ERRORS.get(str(error.provider_code), OTHER_ERROR))
    if error.code in OURS:
        return str(OURS[error.code])
    if isinstance(error, AuthProviderError) and error.code != "http_error":
        return str(_("Your provider does not answer. Try again later, or log in another way."))
    if isinstance(error, AuthResponseError | AuthProviderError):
        return str(
            _("What your provider answered cannot be used. Begin again; if it stays so, tell whoever manages it there.")
        )
    if isinstance(error, AuthSessionError | AuthInputError):
        return str(_("That log-in was begun too long ago, in another browser, or was finished already. Begin again."))
    return str(_BEGIN_AGAIN)


def reason_of(error: SocialAuthBaseException) -> str:
    """Return the code of what went wrong, with the provider's own, for those who look for the cause."""
    said = str(error.provider_code or "")
    return f"{error.code}: {said}" if ERROR_CODE.fullmatch(said) else error.code


def write_down(request: SignInRequest, backend: StudioOidc, error: SocialAuthBaseException, purpose: str) -> None:
    """Log the refusal; put it on record too where it answers what this browser began: strangers fill no table."""
    detail = f" {error.detail[:200]!r}" if error.stage == "token_validation" else ""
    logger.warning(
        "To %s through %s was refused: %s at %s%s", purpose, backend.name, reason_of(error), error.stage, detail
    )
    if not backend.is_answered:
        return
    known: Any = request.user if request.user.is_authenticated else _known(backend)
    after = {"provider": title_of(backend.name), "reason": reason_of(error), "purpose": purpose}
    record("sign_in.refused", by=known, subject=known, after=after)


def _known(backend: StudioOidc) -> User | None:
    """Return whose identity it is that was refused, as far as a token that was verified says so."""
    uid = backend.uid() if backend.id_token else None
    social = backend.strategy.storage.user.get_social_auth(backend.name, uid, backend.id_key()) if uid else None
    user: User | None = social.user if social else None
    return user


def page_to_return_to(request: SignInRequest, purpose: SsoPurpose, after: str) -> str:
    """Return where the round trip was begun, on its way to ``after``."""
    if purpose == SsoPurpose.LINK and request.user.is_authenticated:
        return reverse("accounts:security")
    is_step_up = purpose == SsoPurpose.STEP_UP and request.user.is_authenticated
    page = reverse("accounts:step-up" if is_step_up else "accounts:login")
    return f"{page}?{urlencode({'next': after}, safe='/')}" if after and after != "/" else page


class SsoRefusals:
    """Answers for a round trip to a provider that was refused, by us or by the provider, on either way."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: SignInRequest, error: Exception) -> HttpResponse | None:
        backend = getattr(request, "backend", None)
        if not (isinstance(error, SocialAuthBaseException) and isinstance(backend, StudioOidc)):
            return None
        purpose = getattr(request, "sso_purpose", backend.purpose)
        write_down(request, backend, error, purpose)
        messages.error(request, words_for(error))
        after = backend.begun.get("next") or request.session.get("next") or ""
        return redirect(page_to_return_to(request, purpose, safe_next(request, str(after))))
