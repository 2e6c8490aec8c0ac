"""Pages before the gate: log in, pass a second factor, log out."""

from contextlib import ExitStack, suppress
from datetime import datetime
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth import logout
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from accounts import providers
from accounts.choices import FEW_RECOVERY_CODES, PASSWORD_BACKEND, RECOVERY, Decision, MailPurpose, OpenedBy
from accounts.factors import services as factors
from accounts.log_in.forms import CodeForm, LoginForm, RecoveryForm
from accounts.models import TotpDevice, User
from accounts.pages import KNOWN_EMAIL, MOST_NAMED, answer, go_to, next_of, why_asked
from accounts.passwords import services as passwords
from accounts.requests import LogInRequest
from accounts.requirement import devices_of, has_factor, mfa_required, requirers_to_come
from accounts.sessions import candidates, pending
from accounts.sessions import services as sessions
from accounts.sso.oidc import backend_of
from accounts.throttle.budgets import TooManyTries
from web.clock import database_now
from web.methods import require_safe_or_post


@transaction.non_atomic_requests
@never_cache
@sensitive_post_parameters("password")
@require_safe_or_post
def log_in(request: LogInRequest) -> HttpResponse:
    """Check e-mail address and password, then open a session or redirect to the second factor."""
    if request.user.is_authenticated:
        return go_to(request, next_of(request))
    known = {"email": request.session.get(KNOWN_EMAIL, "")}
    form = LoginForm(request.POST if request.method == "POST" else None, initial=known)
    if form.is_valid():
        try:
            user = passwords.authenticate(request, form.cleaned_data["email"], form.cleaned_data["password"])
        except ValidationError as error:
            form.add_error(None, error)
        else:
            return after_password(request, user, now=timezone.now())
    context = {"form": form, "next": next_of(request), "providers": providers.buttons()}
    return answer(request, "accounts/log_in/log_in.html", context, form)


def after_password(request: LogInRequest, user: User, *, now: datetime) -> HttpResponse:
    """Open a session, or redirect to the factor: users who have one must pass it even where nothing requires it."""
    after = next_of(request)
    if has_factor(user):
        pending.begin(request, user, after=after, now=now)
        return redirect("accounts:verify")
    if mfa_required(user):
        pending.begin(request, user, after=after, now=now)
        with suppress(TooManyTries):  # the page offers to send it again, and says so then
            factors.send_mailbox_code(user, purpose=MailPurpose.ENROL, now=database_now())
        return redirect("accounts:enrol")
    sessions.open_session(request, user, opened_by=OpenedBy.PASSWORD, backend=PASSWORD_BACKEND)
    if requirers_to_come(user).exists():
        address = reverse("accounts:second-factor-soon")
        return redirect(f"{address}?{urlencode({'next': after}, safe='/')}" if after else address)
    return go_to(request, after)


@never_cache
@require_safe
def second_factor_soon(request: LogInRequest) -> HttpResponse:
    """Show which environments will require a factor of a user who has none, and from when.

    "Not now" links to the page they asked for. This page is behind the gate, so neither opens anything.
    """
    after = next_of(request)
    coming = requirers_to_come(request.user)
    named = [] if has_factor(request.user) else list(coming[: MOST_NAMED + 1])
    if not named:
        return go_to(request, after)
    more = coming.count() - MOST_NAMED if len(named) > MOST_NAMED else 0
    context = {"environments": named[:MOST_NAMED], "more": more, "soonest": named[0].requires_from, "next": after}
    return render(request, "accounts/log_in/second_factor_soon.html", context)


@transaction.non_atomic_requests
@never_cache
@require_safe_or_post
def verify(request: LogInRequest) -> HttpResponse:
    """Ask for a code of the app, or for a recovery code."""
    now = timezone.now()
    candidate = candidates.find(request, now=now)
    if candidate is None:
        return go_to(request, next_of(request)) if request.user.is_authenticated else redirect("accounts:login")
    if candidate.decision == Decision.ENROL:
        return redirect("accounts:enrol")
    after = candidate.next or next_of(request)
    is_recovery = (request.POST or request.GET).get("with") == RECOVERY
    form = (RecoveryForm if is_recovery else CodeForm)(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            factor = pass_code(request, candidate.user, form.cleaned_data["code"], is_recovery=is_recovery, now=now)
        except ValidationError as error:
            form.add_error("code", error)
            candidates.count_wrong_code(request, candidate)
        else:
            candidates.complete_log_in(request, candidate, factor=factor, now=now)
            return go_to(request, after)
    context = {"form": form, "next": after, "is_recovery": is_recovery, **why_asked(candidate.user)}
    devices = devices_of(candidate.user)
    apps = [device for device in devices if isinstance(device, TotpDevice)]
    context |= {"apps": apps, "has_passkey": len(apps) < len(devices)}
    return answer(request, "accounts/log_in/verify.html", context, form)


def pass_code(request: LogInRequest, user: User, code: str, *, is_recovery: bool, now: datetime) -> str:
    """Check the code and return its factor: a device's id, or "recovery", with a warning when few codes are left."""
    if not is_recovery:
        return factors.verify_app(user, code, now=now).persistent_id
    left = factors.use_recovery_code(user, code, now=now)
    if left <= FEW_RECOVERY_CODES:
        text = ngettext("%(left)s recovery code is left.", "%(left)s recovery codes are left.", left) % {"left": left}
        messages.warning(request, text + " " + _("Make new codes under Profile › Security."))
    return RECOVERY


@require_POST
def log_out(request: LogInRequest) -> HttpResponse:
    """End the session, also one that is half open; after SSO, show how to log out at the provider too."""
    session = request.session_record
    provider = providers.behind(session.backend, session.basis) if session else None
    logout(request)
    messages.success(request, _("You are logged out."))
    if provider and (address := log_out_address(request, providers.name_of(provider))):
        title = providers.title_of(providers.name_of(provider))
        still = _("You are still logged in at %(title)s: its button logs you in here without asking for a password.")
        label = _("Log out at %(title)s too") % {"title": title}
        link = format_html('{} <a href="{}">{}</a>', still % {"title": title}, address, label)
        messages.info(request, link)
    return redirect("accounts:login")


def log_out_address(request: LogInRequest, name: str) -> str | None:
    """Return the provider's own log-out page, or None; can call the provider."""
    with ExitStack() as request.sso_work:
        return backend_of(request, name).log_out_address()
