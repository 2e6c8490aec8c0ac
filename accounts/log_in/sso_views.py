"""Views that send people to a provider and receive its answer."""

from contextlib import ExitStack

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import resolve_url
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from social_django.views import auth as begin_at_provider
from social_django.views import complete

from accounts import providers
from accounts.choices import ANONYMOUS_SESSION_LASTS, SsoPurpose
from accounts.log_in.forms import LoginForm
from accounts.pages import answer, go_to, next_of
from accounts.requests import LogInRequest
from accounts.stepup import ask_to_step_up, is_stepped_up
from accounts.throttle.budgets import TooManyTries, count_visit


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
    if request.session.session_key is None:
        try:
            count_visit()
        except TooManyTries as error:
            messages.error(request, " ".join(error.messages))
            context = {"form": LoginForm(), "next": next_of(request), "providers": providers.buttons()}
            return answer(request, "accounts/log_in/log_in.html", context, status=429)
        request.session.set_expiry(ANONYMOUS_SESSION_LASTS)
    request.sso_purpose = purpose
    home = resolve_url("/") if purpose == SsoPurpose.LOG_IN else reverse("accounts:security")
    request.session["next"] = next_of(request) or home
    with ExitStack() as request.sso_work:
        return begin_at_provider(request, backend)


@csrf_exempt
@never_cache
def complete_sso(request: LogInRequest, backend: str) -> HttpResponse:
    """Process a provider's answer; it must belong to a round trip that this browser began.

    Everything after the last call to the provider is one transaction: a log-in that a late step refuses leaves no
    account and no identity.
    """
    with ExitStack() as request.sso_work:
        return complete(request, backend)
