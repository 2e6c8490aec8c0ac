"""Views that send people to a provider and receive its answer."""

from contextlib import ExitStack

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import render, resolve_url
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from social_django.views import auth as begin_at_provider
from social_django.views import complete

from accounts import providers
from accounts.choices import ANONYMOUS_SESSION_LASTS, SsoPurpose
from accounts.log_in.forms import LoginForm, OrganisationForm
from accounts.pages import answer, go_to, next_of
from accounts.requests import LogInRequest
from accounts.stepup import ask_to_step_up, is_stepped_up
from accounts.throttle.budgets import TooManyTries, count_visit
from web.addresses import address_of
from web.methods import require_safe_or_post


@never_cache
@require_POST
def begin_sso(request: LogInRequest, backend: str) -> HttpResponse:
    """Redirect the visitor to a provider. The purpose is stored with the ``state`` of this round trip."""
    purpose = SsoPurpose.LOG_IN
    if request.user.is_authenticated:
        if request.POST.get("purpose") not in {SsoPurpose.STEP_UP, SsoPurpose.LINK}:
            return go_to(request, next_of(request))
        purpose = SsoPurpose(request.POST["purpose"])
    if purpose == SsoPurpose.LINK and not is_stepped_up(request):
        return ask_to_step_up(request)
    if providers.is_own(backend):
        try:
            providers.named(backend)
        except LookupError:
            raise Http404 from None
    home = resolve_url("/") if purpose == SsoPurpose.LOG_IN else reverse("accounts:security")
    return begin_round_trip(request, backend, purpose, after=next_of(request) or home)


@transaction.non_atomic_requests
@never_cache
@require_safe_or_post
def log_in_at_organisation(request: LogInRequest) -> HttpResponse:
    """Ask for an e-mail address, and redirect to the provider of the organisation that has verified its domain.

    The answer depends on the domain alone, never on whether anybody has the address.
    """
    if request.user.is_authenticated:
        return go_to(request, next_of(request))
    form = OrganisationForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            count_visit("organisations")
        except TooManyTries as error:
            form.add_error(None, error)
    if form.is_valid():
        address = address_of(form.cleaned_data["email"])
        provider = providers.own_provider_of(address.domain)
        if provider is not None:
            request.sso_login_hint = address.mailbox
            after = next_of(request) or resolve_url("/")
            return begin_round_trip(request, providers.name_of(provider), SsoPurpose.LOG_IN, after=after)
        form.add_error("email", _("No organisation has a log-in of its own for this domain. Log in another way."))
    context = {"form": form, "next": next_of(request)}
    return answer(request, "accounts/log_in/organisation.html", context, form)


def begin_round_trip(request: LogInRequest, backend: str, purpose: SsoPurpose, *, after: str) -> HttpResponse:
    """Redirect to a provider; after its answer, the visitor continues at ``after``."""
    if request.session.session_key is None:
        try:
            count_visit()
        except TooManyTries as error:
            messages.error(request, " ".join(error.messages))
            context = {"form": LoginForm(), "next": next_of(request), "providers": providers.buttons()}
            return answer(request, "accounts/log_in/log_in.html", context, status=429)
        request.session.set_expiry(ANONYMOUS_SESSION_LASTS)
    request.sso_purpose = purpose
    request.session["next"] = after
    with ExitStack() as request.sso_work:
        begun = begin_at_provider(request, backend)
    return leave(request, begun, backend) if providers.is_own(backend) else begun


def leave(request: LogInRequest, begun: HttpResponse, backend: str) -> HttpResponse:
    """Return a page that leads to an organisation's own provider at once.

    No redirect: browsers hold that against the ``form-action`` of the page before, which knows the operator's providers
    alone.
    """
    address = begun["Location"]
    context = {"address": address, "title": providers.title_of(backend)}
    response = render(request, "accounts/log_in/leave.html", context)
    response["Refresh"] = f"0; url={address}"
    return response


@csrf_exempt
@never_cache
def complete_sso(request: LogInRequest, backend: str) -> HttpResponse:
    """Process a provider's answer; it must belong to a round trip that this browser began.

    Everything after the last call to the provider is one transaction: a log-in that a late step refuses leaves no
    account and no identity.
    """
    with ExitStack() as request.sso_work:
        return complete(request, backend)
