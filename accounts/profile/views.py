"""Profile pages: name, language and time zone, memberships, and changing the e-mail address."""

from typing import cast

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from accounts.models import User
from accounts.pages import answer, hide_address
from accounts.profile import email_change, services
from accounts.profile import tasks as profile_tasks
from accounts.profile.forms import EmailForm, ProfileForm
from accounts.requests import LogInRequest
from accounts.requirement import memberships_of
from accounts.sessions import services as sessions
from accounts.stepup import step_up_required
from web import deliveries
from web.addresses import readable
from web.clock import database_now
from web.compression import shows_secret
from web.methods import require_safe_or_post
from web.paging import page_of
from web.undo import say_done, undo_at
from web.versions import ChangedMeanwhile

PAGE_SIZE = 50


@require_safe_or_post
def profile(request: LogInRequest) -> HttpResponse:
    user = cast(User, request.user)
    known = services.profile_of(user)
    form = ProfileForm(request.POST if request.method == "POST" else None, initial=known)
    if form.is_valid():
        try:
            services.change_profile(user, form.cleaned_data, seen=request.POST.get("seen"))
        except ChangedMeanwhile as error:
            form.add_error(None, error)
        else:
            now_known = services.profile_of(user)
            undo = undo_at("accounts:profile", seen=now_known, fields=known) if now_known != known else None
            with translation.override(user.language or translation.get_language()):
                say_done(request, _("Your profile is saved."), undo)
            return redirect("accounts:profile")
    memberships = page_of(memberships_of(user), request.GET.get("page"), size=PAGE_SIZE)
    context = {"form": form, "known": known, "memberships": memberships}
    return render(request, "accounts/profile/profile.html", context)


@transaction.non_atomic_requests
@require_safe_or_post
@step_up_required
def change_email(request: LogInRequest) -> HttpResponse:
    """Ask for the new address; the response is the same whether or not somebody has it."""
    user = cast(User, request.user)
    form = EmailForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            email = email_change.request_change(user, form.cleaned_data["email"])
        except ValidationError as error:
            form.add_error("email", error)
        else:
            auth_hash = user.get_session_auth_hash()
            deliveries.queue_task(profile_tasks.send_email_change, user.pk, auth_hash, email)
            text = _("We sent a link to %(email)s. Open it in this browser within an hour to confirm the change.")
            messages.success(request, text % {"email": readable(email)})
            return redirect("accounts:profile")
    return answer(request, "accounts/profile/change_email.html", {"form": form}, form)


@never_cache
@shows_secret
@require_safe_or_post
@step_up_required
def confirm_email(request: LogInRequest, token: str) -> HttpResponse:
    """Show the address that the link confirms; on POST change it. All other sessions end, the current one stays."""
    user, now = cast(User, request.user), database_now()
    try:
        change = email_change.change_of_link(user, token, now=now)
        if request.method == "POST":
            with transaction.atomic():
                email_change.confirm(user, token, now=now)
                sessions.reopen(request, user)
            messages.success(request, _("Your e-mail address was changed. All your other sessions have ended."))
            return redirect("accounts:profile")
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("accounts:profile")
    return hide_address(render(request, "accounts/profile/confirm_email.html", {"change": change}))
