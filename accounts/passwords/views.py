"""Pages that set a new password by a mailed link; they log nobody in and do not reveal who has an account."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from accounts.pages import answer, fill_in_at_log_in, hide_address
from accounts.passwords import services as passwords
from accounts.passwords import tasks as password_tasks
from accounts.passwords.forms import NewPasswordForm, ResetForm
from accounts.requests import LogInRequest
from accounts.throttle.budgets import reset_of
from accounts.throttle.mailed_links import queue_link
from web.compression import shows_secret
from web.methods import require_safe_or_post


@transaction.non_atomic_requests
@never_cache
@require_safe_or_post
def reset_password(request: LogInRequest) -> HttpResponse:
    """Ask for an address and have a link mailed to it; the response is the same for every address, slowed or not."""
    form = ResetForm(request.POST if request.method == "POST" else None)
    if queue_link(form, task=password_tasks.send_password_reset, budget_of=reset_of):
        return redirect("accounts:reset-password-sent")
    return answer(request, "accounts/passwords/reset_password.html", {"form": form}, form)


@require_safe
def reset_password_sent(request: LogInRequest) -> HttpResponse:
    return render(request, "accounts/passwords/reset_password_sent.html")


@never_cache
@shows_secret
@sensitive_post_parameters("password", "again")
@require_safe_or_post
def set_password(request: LogInRequest, key: str, token: str) -> HttpResponse:
    """Set the password of the link's user, then redirect to the log-in page."""
    user = passwords.user_of_link(key, token)
    if user is None:
        return hide_address(render(request, "accounts/passwords/set_password.html", {"form": None}, status=410))
    form = NewPasswordForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            passwords.set_by_link(user, form.cleaned_data["password"], now=timezone.now())
        except passwords.LinkUsed:
            return hide_address(render(request, "accounts/passwords/set_password.html", {"form": None}, status=410))
        except ValidationError as error:
            form.add_error("password", error)
        else:
            fill_in_at_log_in(request, str(user))
            messages.success(request, _("Your password is set. Log in with it."))
            return redirect("accounts:login")
    return hide_address(render(request, "accounts/passwords/set_password.html", {"form": form, "email": str(user)}))
