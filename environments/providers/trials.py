"""Trials: an Administrator logs in through a provider, sees what it says, and is neither logged in nor linked."""

from collections.abc import Callable
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from social_core.exceptions import SocialAuthBaseException

from accounts.choices import SsoPurpose
from accounts.models import User
from accounts.names import is_storable
from accounts.providers import lets_in
from accounts.sso.oidc import StudioOidc
from accounts.sso.own import OwnProvider
from accounts.sso.pipeline import is_unused, verified_email
from accounts.sso.refusals import message_for, reason_of
from environments.joining.services import joinable_domain
from environments.models import IdentityProvider
from environments.providers import services
from environments.requests import StudioRequest
from web.addresses import Address, address_of

LONGEST: Final = 255  # of what a provider says, as it is shown


class Outcome(models.TextChoices):
    """What a log-in with the identity of a trial would do."""

    KNOWN = "known", gettext_lazy("Logs in the account that this identity is linked to.")
    UNUSED = "unused", gettext_lazy("Logs in the account with this address, which nobody has used yet.")
    JOINS = "joins", gettext_lazy("Creates an account, which joins with the auto-invite roles.")
    LINK_FIRST = (
        "link_first",
        gettext_lazy("Is refused at first: the account with this address has to link it under Profile › Security."),
    )
    NOT_INVITED = (
        "not_invited",
        gettext_lazy("Is refused until this address is invited: there are no auto-invite roles to join with."),
    )
    NOT_LET_IN = (
        "not_let_in",
        gettext_lazy("Is refused: its account is of another domain, is closed, or is that of a super user."),
    )
    NOBODY = "nobody", gettext_lazy("The provider does not say who this is, or it is of another directory.")
    NO_EMAIL = "no_email", gettext_lazy("The provider names no e-mail address.")
    OTHER_DOMAIN = (
        "other_domain",
        gettext_lazy("The address is not of a verified domain that this provider is for."),
    )
    UNVERIFIED = (
        "unverified",
        gettext_lazy(
            "The provider does not call the address verified. Entra ID never does: trust its addresses if only your "
            "organisation assigns them."
        ),
    )
    FAILED = "failed", gettext_lazy("The log-in did not succeed.")


# The provider works; what would happen to this one person does not matter.
PASSED: Final = frozenset(
    {
        *(Outcome.KNOWN, Outcome.UNUSED, Outcome.JOINS),
        *(Outcome.LINK_FIRST, Outcome.NOT_INVITED, Outcome.NOT_LET_IN),
    }
)


def end_trial(backend: StudioOidc, strategy: Any, *args: Any, **kwargs: Any) -> HttpResponse | None:
    """First step of the SSO pipeline: end a trial here, before anybody is looked for to be logged in or linked."""
    if backend.purpose != SsoPurpose.TRY or not isinstance(backend, OwnProvider):
        return None
    request: StudioRequest = strategy.request
    provider = _provider_of(backend)
    outcome, account = outcome_of(backend)
    claims = backend.id_token or {}
    said = {
        "issuer": claims.get("iss"),
        "subject": backend.uid() or claims.get("sub"),
        "email": backend.claimed_email(),
    }
    is_verified = backend.says_verified()
    trial = {name: _shown(value) for name, value in said.items()} | {"is_verified": is_verified, "account": account}
    try:
        services.record_trial(
            provider,
            {"outcome": outcome.value, **trial},
            has_passed=outcome in PASSED,
            of=backend.entry,
            by=request.caller,
            now=timezone.now(),
        )
    except (PermissionDenied, ValidationError) as error:
        messages.error(request, " ".join(getattr(error, "messages", [str(error)])))
    else:
        say_outcome(request, outcome)
    return redirect("environments:provider", provider.organisation.slug, provider.key)


def say_outcome(request: StudioRequest, outcome: Outcome) -> None:
    if outcome in PASSED:
        messages.success(request, _("The trial succeeded."))
    else:
        messages.error(request, _("The trial failed: %(why)s") % {"why": outcome.label})


def outcome_of(backend: OwnProvider) -> tuple[Outcome, str]:
    """Return what a log-in with these claims would do, and the address of the account that it would log in."""
    uid = backend.uid()
    if backend.refusal_code() or uid is None:
        return Outcome.NOBODY, ""
    address = verified_email(backend)
    if address is None:
        return _why_no_address(backend), ""
    identity = backend.strategy.storage.user.get_social_auth(backend.name, uid, backend.id_key())
    user = identity.user if identity else User.objects.with_address(address.key)
    if user is None:
        return (Outcome.JOINS if joinable_domain(address.key) else Outcome.NOT_INVITED), ""
    if not (user.is_active and lets_in(backend.provider, user)):
        return Outcome.NOT_LET_IN, ""
    if identity:
        return Outcome.KNOWN, str(user)
    return (Outcome.UNUSED if is_unused(user) else Outcome.LINK_FIRST), ""


def _why_no_address(backend: OwnProvider) -> Outcome:
    claimed = backend.claimed_email()
    if not claimed:
        return Outcome.NO_EMAIL
    try:
        address: Address = address_of(claimed)
    except ValidationError:
        return Outcome.OTHER_DOMAIN
    return Outcome.UNVERIFIED if backend.is_pinned_to(address) else Outcome.OTHER_DOMAIN


def _shown(claim: Any) -> str:
    return claim[:LONGEST] if isinstance(claim, str) and is_storable(claim) else ""


def _provider_of(backend: OwnProvider) -> IdentityProvider:
    return IdentityProvider.objects.select_related("organisation").get(key=backend.entry["id"])


class FailedTrials:
    """Middleware: keeps why a trial failed, and returns to the page of the provider."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: StudioRequest, error: Exception) -> HttpResponse | None:
        backend = getattr(request, "backend", None)
        if not (isinstance(error, SocialAuthBaseException) and isinstance(backend, OwnProvider)):
            return None
        if getattr(request, "sso_purpose", backend.purpose) != SsoPurpose.TRY:
            return None
        provider = _provider_of(backend)
        trial = {"outcome": Outcome.FAILED.value, "reason": f"{reason_of(error)} ({error.stage})"}
        try:
            services.record_trial(
                provider, trial, has_passed=False, of=backend.entry, by=request.caller, now=timezone.now()
            )
        except (PermissionDenied, ValidationError):
            return None
        messages.error(request, _("The trial failed: %(why)s") % {"why": message_for(error)})
        return redirect("environments:provider", provider.organisation.slug, provider.key)
