"""Pages that set up a factor: mailbox (for a first factor only), then app, then recovery codes."""

import base64
import time
from dataclasses import dataclass
from datetime import datetime

import segno
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from accounts import totp
from accounts.choices import STEP_UP_LASTS, Decision, MailPurpose
from accounts.factors import recovery_code_views as new_codes
from accounts.factors import services as factors
from accounts.factors.forms import AppForm, MailboxForm
from accounts.models import User
from accounts.pages import answer, next_of, why_asked
from accounts.requests import LogInRequest
from accounts.requirement import has_factor
from accounts.sessions import candidates, pending
from accounts.sessions import services as sessions
from accounts.sessions.candidates import Candidate
from accounts.stepup import ask_to_step_up, is_stepped_up
from web.addresses import readable
from web.clock import database_now
from web.compression import shows_secret
from web.methods import require_safe_or_post

ENROLMENT = "studio_enrolment"


@dataclass(frozen=True)
class Subject:
    """Whose factor is being set up: a candidate before the gate, or a logged-in user who adds another one."""

    user: User
    candidate: Candidate | None
    after: str


def start_enrolment(request: LogInRequest, user: User) -> None:
    """Keep a new secret in the session; the device is created when it has shown a right code."""
    sealed = base64.b64encode(totp.seal(totp.new_key(), user_id=user.pk)).decode()
    request.session[ENROLMENT] = {"user": user.pk, "key": sealed, "at": time.time()}


def enrolment_key(request: LogInRequest, user: User) -> bytes | None:
    """Return the secret that is being set up for ``user`` in this session, or None once ten minutes have passed."""
    kept = request.session.get(ENROLMENT)
    if not kept or kept["user"] != user.pk or time.time() - kept["at"] > STEP_UP_LASTS.total_seconds():
        return None
    return totp.unseal(base64.b64decode(kept["key"]), user_id=user.pk)


@transaction.non_atomic_requests
@never_cache
@shows_secret
@require_safe_or_post
def enrol(request: LogInRequest) -> HttpResponse:
    """Show the step that comes next: mailbox, app or recovery codes, depending on what is confirmed so far."""
    now = timezone.now()
    candidate = candidates.find(request, now=now)
    if candidate is None and not request.user.is_authenticated:
        return redirect("accounts:login")
    if candidate and candidate.decision == Decision.VERIFY:
        return redirect("accounts:verify")
    subject = Subject(
        candidate.user if candidate else request.user, candidate, (candidate and candidate.next) or next_of(request)
    )
    if candidate is None and has_factor(subject.user):
        if not is_stepped_up(request):
            return ask_to_step_up(request)
        if enrolment_key(request, subject.user) is None:
            start_enrolment(request, subject.user)
    key = enrolment_key(request, subject.user)
    return ask_mailbox(request, subject, now=now) if key is None else ask_app(request, subject, key, now=now)


def ask_mailbox(request: LogInRequest, subject: Subject, *, now: datetime) -> HttpResponse:
    """Step 1: confirm the mailbox, so that knowing the password is not enough to set up a factor."""
    form = MailboxForm(request.POST if "mailcode" in request.POST else None)
    if request.POST.get("do") == "send":
        form = MailboxForm()
        try:
            factors.send_mailbox_code(subject.user, purpose=MailPurpose.ENROL, now=database_now())
            messages.success(request, _("We sent you a code."))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
    elif form.is_valid():
        try:
            code = form.cleaned_data["mailcode"]
            factors.use_mailbox_code(subject.user, code, purpose=MailPurpose.ENROL, now=database_now())
        except ValidationError as error:
            form.add_error("mailcode", error)
            if subject.candidate:
                candidates.count_wrong_code(request, subject.candidate)
        else:
            start_enrolment(request, subject.user)
            if subject.candidate and subject.candidate.pending:
                pending.renew(request, subject.candidate.pending, now=now)
            else:
                request.session.cycle_key()
            return redirect(request.get_full_path())
    codes = subject.user.mailbox_codes.filter(purpose=MailPurpose.ENROL, used_at=None)
    sent = codes.filter(expires_at__gt=database_now()).exists()
    context = {"step": "mailbox", "form": form, "is_sent": sent, "email": masked(subject.user.email)}
    return _page(request, subject, context, form)


def ask_app(request: LogInRequest, subject: Subject, key: bytes, *, now: datetime) -> HttpResponse:
    """Step 2: check a code of the app, then open the session and redirect to step 3, the recovery codes."""
    form = AppForm(request.POST if "appcode" in request.POST else None)
    if form.is_valid():
        try:
            device, codes = factors.add_app(
                subject.user, key, form.cleaned_data["appcode"], name=form.cleaned_data["name"], now=now
            )
        except ValidationError as error:
            form.add_error("appcode", error)
            if subject.candidate:
                candidates.count_wrong_code(request, subject.candidate)
        else:
            request.session.pop(ENROLMENT, None)
            if subject.candidate:
                candidates.complete_log_in(request, subject.candidate, factor=device.persistent_id, now=now)
            else:
                sessions.pass_factor(request, subject.user, factor=device.persistent_id, now=now)
            messages.success(request, _("%(name)s is set up.") % {"name": device.name})
            if not codes:
                return redirect("accounts:security")
            return new_codes.keep_in_session(request, subject.user, codes, after=subject.after, is_first=True)
    uri = totp.uri(key, account=str(subject.user))
    qr = segno.make(uri, error="m").svg_inline(border=0, omitsize=True)
    context = {"step": "app", "form": form, "qr": qr, "secret": totp.as_text(key), "uri": uri}
    return _page(request, subject, context, form)


def masked(email: str) -> str:
    """Return the address with most of its local part hidden: enough for its owner to recognise."""
    name, _at, domain = readable(email).partition("@")
    return f"{name[:1]}•••{name[-1:] if len(name) > 2 else ''}@{domain}"


def _page(
    request: LogInRequest, subject: Subject, context: dict[str, object], form: MailboxForm | AppForm
) -> HttpResponse:
    asked = {**why_asked(subject.user), "is_first": not has_factor(subject.user)}
    is_forced = subject.candidate is not None
    return answer(
        request,
        "accounts/factors/enrol.html",
        {**asked, **context, "next": subject.after, "is_forced": is_forced},
        form,
    )
