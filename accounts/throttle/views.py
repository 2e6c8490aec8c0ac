"""The page of slowed log-ins, for super users."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.requests import LogInRequest
from accounts.stepup import ask_to_step_up, is_stepped_up
from accounts.throttle import queries as slowed
from web.methods import require_safe_or_post
from web.typed import whole_number


@require_safe_or_post
def list_slowed(request: LogInRequest) -> HttpResponse:
    """List the spent budgets of people and addresses; on POST allow the next try of one."""
    if not request.user.is_superuser:
        raise PermissionDenied(_("Only super users can see slowed log-ins."))
    if request.method == "POST":
        if not is_stepped_up(request):
            return ask_to_step_up(request)
        slowed.allow_next_try(whole_number(request.POST.get("budget", "")) or 0, by=request.user)
        messages.success(request, _("The next try is allowed at once."))
        return redirect("accounts:slowed")
    return render(request, "accounts/throttle/slowed.html", {"slowed": slowed.slowed_everywhere(now=timezone.now())})
