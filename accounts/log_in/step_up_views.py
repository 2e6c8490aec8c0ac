"""The step-up page: a logged-in user confirms their identity again."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from accounts import interrupted
from accounts.choices import MailPurpose, OpenedBy
from accounts.factors import services as factors
from accounts.gate import is_opened_by_sso
from accounts.log_in.forms import CodeForm, MailboxStepUpForm
from accounts.models import TotpDevice
from accounts.pages import answer, go_to, next_of
from accounts.passwords import services as passwords
from accounts.providers import step_up_button
from accounts.requests import LogInRequest
from accounts.requirement import devices_of
from accounts.sessions import services as sessions
from web.clock import database_now
from web.methods import require_safe_or_post


@transaction.non_atomic_requests
@never_cache
@sensitive_post_parameters("password")
@require_safe_or_post
def step_up(request: LogInRequest) -> HttpResponse:
    """Ask for a factor; a user without one logs in again at the provider, or enters password and mailed code."""
    now = timezone.now()
    devices = devices_of(request.user)
    by_sso = is_opened_by_sso(request)
    session = request.session_record
    provider = step_up_button(session.backend, session.basis, session.user_id) if by_sso else None
    form: Form | None = None
    sent = False
    if devices:
        form = CodeForm(request.POST or None)
    elif session.opened_by != OpenedBy.SSO:
        sent = request.POST.get("do") == "send"
        if sent:
            sent = _send(request, now=now)
        form = MailboxStepUpForm(request.POST if "mailcode" in request.POST and not sent else None)
    if form is not None and form.is_valid():
        try:
            _check(request, form, now=now)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            return go_to(request, next_of(request))
    context = {
        "form": form,
        "devices": devices,
        "has_app": any(isinstance(device, TotpDevice) for device in devices),
        "has_passkey": any(not isinstance(device, TotpDevice) for device in devices),
        "is_sent": sent,
        "provider": provider,
        "needs_factor": form is None and provider is None,
        "next": next_of(request),
        "back": _back_from(request),
    }
    return answer(request, "accounts/log_in/step_up.html", context, *([form] if form else []))


@never_cache
@require_safe
def go_on(request: LogInRequest, key: str) -> HttpResponse:
    """Send what the step-up interrupted again: the script of the page does it at once, without it a button does."""
    submission = interrupted.kept(request)
    if submission is None or submission.key != key:
        return interrupted.too_late(request, key)
    return render(request, "accounts/log_in/go_on.html", {"submission": submission, "field": interrupted.GO_ON})


def _back_from(request: LogInRequest) -> str:
    """Return where the link to cancel leads: the page of the form, which shows what was typed."""
    after, submission = next_of(request), interrupted.kept(request)
    is_to_go_on = submission is not None and after == reverse("accounts:go-on", args=[submission.key])
    return submission.page if submission and is_to_go_on else after


def _send(request: LogInRequest, *, now: datetime) -> bool:
    try:
        factors.send_mailbox_code(request.user, purpose=MailPurpose.STEP_UP, now=database_now())
    except ValidationError:
        return False
    return True


def _check(request: LogInRequest, form: Form, *, now: datetime) -> None:
    typed = form.cleaned_data
    if isinstance(form, CodeForm):
        device = factors.verify_app(request.user, typed["code"], now=now)
        sessions.pass_factor(request, request.user, factor=device.persistent_id, now=now)
        return
    passwords.authenticate(request, request.user.email, typed["password"])
    factors.use_mailbox_code(request.user, typed["mailcode"], purpose=MailPurpose.STEP_UP, now=database_now())
    sessions.step_up(request, request.user, at=now)
