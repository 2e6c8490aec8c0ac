"""Failed log-ins through a provider: the message, the page to return to, and the audit event."""

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
from accounts.requests import LogInRequest
from accounts.sso.oidc import StudioOidc
from audit.services import record

logger = logging.getLogger(__name__)
REASONS: dict[str, str | Promise] = {
    "acr": _("Your provider did not confirm that you logged in as strongly as Studio requires."),
    "amr": _("Your provider did not confirm that you used a second factor."),
    "auth_time": _("Your provider did not ask you to log in again."),
    "no_auth_time": _(
        "Your provider does not say when you logged in, so it cannot confirm your identity here. Add an app or a "
        "passkey under Profile › Security and confirm with that."
    ),
    "nobody": _("Your provider did not say who you are. Tell its administrator."),
    "tenant": _("Your organisation's directory cannot be used to log in here. Ask its administrator."),
    "purpose": _("That log-in was started for another purpose. Start again."),
    "linked_already": _("That identity is linked to your account already."),
    "other_identity": _("That identity belongs to somebody else."),
    "no_email": _(
        "Your provider did not confirm an e-mail address. Ask its administrator to have your address confirmed."
    ),
    "not_invited": _("Nobody at Studio has that identity. Ask for an invitation."),
    "off": _("This provider is switched off. Log in another way, or ask an Administrator of your organisation."),
    "not_let_in": _(
        "Your organisation's provider logs in people of its own domains only, and no super users. Log in another way."
    ),
    "link_first": _(
        "There is an account with your address. Log in as before, then link this provider under Profile › Security."
    ),
    "inactive": _("This account is switched off. Ask an Administrator of your organisation."),
    "invitation": _("This invitation is for another address, was used already, or has expired."),
}
_INTERACTION_NEEDED = _("Your provider wants to ask you something first. Start again and answer it there.")
_MISCONFIGURED = _("Your provider does not accept how Studio is set up. Tell its administrator.")
_TEMPORARY = _("Your provider cannot log anybody in now. Try again later, or log in another way.")
_START_AGAIN = _("Logging in through your provider did not work. Start again.")
# Error codes of providers: OAuth 2.0 (RFC 6749, sections 4.1.2.1 and 5.2), OpenID Connect Core 1.0, section 3.1.2.6.
ERRORS: Final[dict[str, Promise]] = {
    "access_denied": _(
        "Your provider did not let you in here: you declined, or it does not allow you to. Start again, or log "
        "in another way."
    ),
    "login_required": _("You are not logged in at your provider. Start again, and log in there."),
    "consent_required": _("Your provider needs your consent first. Start again, and give it there."),
    "interaction_required": _INTERACTION_NEEDED,
    "account_selection_required": _(
        "Your provider does not know which account you mean. Start again, and choose there."
    ),
    "unmet_authentication_requirements": _(
        "Your provider could not log you in as strongly as Studio requires. Log in another way."
    ),
    "temporarily_unavailable": _TEMPORARY,
    "server_error": _TEMPORARY,
    "invalid_grant": _START_AGAIN,
    **dict.fromkeys(
        (
            *("invalid_request", "invalid_client", "invalid_scope", "unauthorized_client", "unsupported_grant_type"),
            *("unsupported_response_type", "request_not_supported", "request_uri_not_supported", "invalid_target"),
            *("registration_not_supported", "invalid_request_object", "invalid_request_uri"),
        ),
        _MISCONFIGURED,
    ),
}
# Codes of our own, raised by an exchange.
EXCHANGE_ERRORS: Final[dict[str, Promise]] = {
    "busy": _("Many people are logging in at this moment. Wait a few seconds and try again."),
    "forbidden_address": _(
        "Your provider names an address that Studio does not connect to: one without https, or of a private network."
    ),
    "other_issuer": _(
        "Your provider names another address than the one that Studio has for it. Tell the operator of Studio."
    ),
}
OTHER_ERROR = _("Your provider refused the log-in. Ask its administrator, or log in another way.")
ERROR_CODE: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,60}")


def message_for(error: SocialAuthBaseException) -> str:
    """Return the message for the visitor: it says what to do and reveals nothing to a stranger."""
    if isinstance(error, AuthPolicyError) and error.code in REASONS:
        return str(REASONS[error.code])
    if error.provider_code is not None:
        return str(ERRORS.get(str(error.provider_code), OTHER_ERROR))
    if error.code in EXCHANGE_ERRORS:
        return str(EXCHANGE_ERRORS[error.code])
    if isinstance(error, AuthProviderError) and error.code != "http_error":
        return str(_("Your provider does not answer. Try again later, or log in another way."))
    if isinstance(error, AuthResponseError | AuthProviderError):
        return str(
            _("Studio cannot use your provider's response. Start again; if this persists, tell its administrator.")
        )
    if isinstance(error, AuthSessionError | AuthInputError):
        return str(_("That log-in was started too long ago, in another browser, or was finished already. Start again."))
    return str(_START_AGAIN)


def reason_of(error: SocialAuthBaseException) -> str:
    """Return the error's code and the provider's own, for the log and the audit log."""
    said = str(error.provider_code or "")
    return f"{error.code}: {said}" if ERROR_CODE.fullmatch(said) else error.code


def record_refusal(request: LogInRequest, backend: StudioOidc, error: SocialAuthBaseException, purpose: str) -> None:
    """Log the refusal, and record an audit event if this browser started the round trip: strangers fill no table."""
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
    """Return the user of the refused identity, if a verified token names one."""
    uid = backend.uid() if backend.id_token else None
    social = backend.strategy.storage.user.get_social_auth(backend.name, uid, backend.id_key()) if uid else None
    user: User | None = social.user if social else None
    return user


def page_to_return_to(request: LogInRequest, purpose: SsoPurpose, after: str) -> str:
    """Return the page where the round trip was started, with ``after`` as the next one."""
    if purpose == SsoPurpose.LINK and request.user.is_authenticated:
        return reverse("accounts:security")
    is_step_up = purpose == SsoPurpose.STEP_UP and request.user.is_authenticated
    page = reverse("accounts:step-up" if is_step_up else "accounts:login")
    return f"{page}?{urlencode({'next': after}, safe='/')}" if after and after != "/" else page


class SsoRefusals:
    """Middleware: turns a refused round trip to a provider into a message on the page where it was started."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: LogInRequest, error: Exception) -> HttpResponse | None:
        backend = getattr(request, "backend", None)
        if not (isinstance(error, SocialAuthBaseException) and isinstance(backend, StudioOidc)):
            return None
        purpose = getattr(request, "sso_purpose", backend.purpose)
        record_refusal(request, backend, error, purpose)
        messages.error(request, message_for(error))
        after = backend.begun.get("next") or request.session.get("next") or ""
        return redirect(page_to_return_to(request, purpose, safe_next(request, str(after))))
