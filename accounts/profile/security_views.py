"""Profile › Security: factors, recovery codes, password, identities, sessions and recent events."""

from typing import cast

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from accounts import providers
from accounts.choices import FEW_RECOVERY_CODES, RECOVERY_CODE_COUNT
from accounts.factors import recovery_code_views as new_codes
from accounts.factors import services as factors
from accounts.factors.forms import NameForm
from accounts.models import TotpDevice, User
from accounts.pages import answer, next_of, why_asked
from accounts.passwords import services as passwords
from accounts.passwords.forms import NewPasswordForm
from accounts.profile import events
from accounts.requests import LogInRequest
from accounts.requirement import api_keys_of, device_of, devices_of
from accounts.sessions import services as sessions
from accounts.sso import identities
from accounts.stepup import step_up_required
from web.methods import require_safe_or_post
from web.typed import whole_number
from web.undo import say_done, undo_at
from web.versions import ChangedMeanwhile


@require_safe
def security(request: LogInRequest) -> HttpResponse:
    user = cast(User, request.user)
    devices = devices_of(user)
    codes = list(user.recovery_codes.order_by("pk"))
    unused = sum(code.used_at is None for code in codes)
    linked = list(user.social_auth.order_by("pk"))
    in_use = {identity.provider for identity in linked}
    context = {
        "devices": [{"device": one, "is_app": isinstance(one, TotpDevice)} for one in devices],
        "codes": {"left": unused, "of": RECOVERY_CODE_COUNT, "are_few": unused <= FEW_RECOVERY_CODES},
        "codes_made": codes[0] if codes else None,
        "has_password": user.has_usable_password(),
        "password_changed": events.latest(user, "password.changed"),
        "identities": [
            {
                "identity": one,
                "title": providers.title_of(one.provider),
                "is_usable": providers.can_log_in(user, one.provider),
            }
            for one in linked
        ],
        "linkable": [one for one in providers.buttons_to_link(user.email) if one["backend"] not in in_use],
        "sessions": user.sessions.open().order_by("-last_seen_at", "-pk")[:50],
        "this_session": request.session_record,
        "api_keys": api_keys_of(user),
        "events": events.recent(user),
        **why_asked(user),
    }
    return answer(request, "accounts/profile/security.html", context)


@require_safe_or_post
@step_up_required
def remove_factor(request: LogInRequest) -> HttpResponse:
    """Show what removing a factor does; on POST remove it."""
    user = cast(User, request.user)
    persistent_id = (request.POST or request.GET).get("device", "")
    device = device_of(user, persistent_id)
    if request.method == "POST":
        try:
            gone = factors.remove(user, persistent_id, by=user, now=timezone.now())
            messages.success(request, _("%(name)s is removed.") % {"name": gone.name})
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        return redirect("accounts:security")
    if device is None:
        return redirect("accounts:security")
    context = {
        "device": device,
        "is_last": len(devices_of(user)) == 1,
        "has_password": user.has_usable_password(),
        "is_needed": factors.is_needed(user, device),
    }
    return render(request, "accounts/factors/remove_factor.html", context)


@require_safe_or_post
def rename_factor(request: LogInRequest) -> HttpResponse:
    user = cast(User, request.user)
    persistent_id = (request.POST or request.GET).get("device", "")
    device = device_of(user, persistent_id)
    if device is None:
        return redirect("accounts:security")
    form = NameForm(request.POST if request.method == "POST" else None, initial={"name": device.name})
    if form.is_valid():
        try:
            name = factors.rename(user, persistent_id, name=form.cleaned_data["name"], seen=request.POST.get("seen"))
        except ChangedMeanwhile as error:
            form.add_error(None, error)
        else:
            before = {"device": persistent_id, "name": device.name}
            undo = undo_at("accounts:rename-factor", seen=name, fields=before) if name != device.name else None
            say_done(request, _("This factor is called %(name)s now.") % {"name": name}, undo)
            return redirect("accounts:security")
    return render(request, "accounts/factors/rename_factor.html", {"device": device, "form": form})


@require_safe_or_post
@step_up_required
def make_recovery_codes(request: LogInRequest) -> HttpResponse:
    """Explain new recovery codes; on POST replace the old ones and show the new ones."""
    user = cast(User, request.user)
    if not devices_of(user):
        messages.error(request, _("Set up a second factor first: recovery codes replace one that is lost."))
        return redirect("accounts:security")
    after = next_of(request) or reverse("accounts:security")
    if request.method == "POST":
        codes = factors.make_recovery_codes(user, now=timezone.now())
        return new_codes.keep_in_session(request, user, codes, after=after, is_first=False)
    has_codes = user.recovery_codes.exists()
    return render(request, "accounts/factors/make_recovery_codes.html", {"next": after, "has_codes": has_codes})


@transaction.non_atomic_requests
@require_safe_or_post
@sensitive_post_parameters("password", "again")
@step_up_required
def change_password(request: LogInRequest) -> HttpResponse:
    """Change the password; all other sessions end, the current one stays."""
    user = cast(User, request.user)
    if not user.has_usable_password():
        messages.error(request, _("You log in through a provider; there is no password to change here."))
        return redirect("accounts:security")
    form = NewPasswordForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            with transaction.atomic():
                passwords.change(user, form.cleaned_data["password"], now=timezone.now())
                sessions.reopen(request, user)
        except ValidationError as error:
            form.add_error("password", error)
        else:
            messages.success(request, _("Your password was changed. All your other sessions have ended."))
            return redirect("accounts:security")
    return render(request, "accounts/passwords/change_password.html", {"form": form, "api_keys": api_keys_of(user)})


@require_safe
def find_change_password(request: LogInRequest) -> HttpResponse:
    """Redirect to where the password is changed: password managers know this address, by W3C's change-password-url."""
    return redirect("accounts:change-password")


@require_POST
def end_session(request: LogInRequest) -> HttpResponse:
    """End one session of the user's own."""
    user = cast(User, request.user)
    number = whole_number(request.POST.get("session", "")) or 0
    if not sessions.end_one(user, number, now=timezone.now(), why="ended by its owner"):
        raise Http404
    messages.success(request, _("The session has ended."))
    return redirect("accounts:security")


@require_safe_or_post
def end_other_sessions(request: LogInRequest) -> HttpResponse:
    """Ask whether to log out everywhere else, and do so on POST."""
    if request.method != "POST":
        others = cast(User, request.user).sessions.open().exclude(pk=request.session_record.pk)
        if not others:
            return redirect("accounts:security")
        return render(request, "accounts/profile/end_other_sessions.html", {"others": others})
    count = sessions.end_others(request, cast(User, request.user), now=timezone.now(), why="ended by its owner")
    text = ngettext("%(count)s other session has ended.", "%(count)s other sessions have ended.", count)
    messages.success(request, text % {"count": count})
    return redirect("accounts:security")


@require_safe_or_post
@step_up_required
def unlink_identity(request: LogInRequest) -> HttpResponse:
    """Ask whether to unlink an SSO identity; on POST unlink it, unless the user could then no longer log in."""
    user = cast(User, request.user)
    number = (request.POST or request.GET).get("identity", "")
    if request.method != "POST":
        identity = user.social_auth.filter(pk=whole_number(number) or 0).first()
        if identity is None:
            return redirect("accounts:security")
        context = {"identity": identity, "title": providers.title_of(identity.provider)}
        return render(request, "accounts/profile/unlink_identity.html", context)
    try:
        identities.unlink(user, number, now=timezone.now())
        messages.success(request, _("The identity is unlinked."))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("accounts:security")
