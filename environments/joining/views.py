"""Join an organisation by mail. The response is the same for every address."""

from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.pages import answer
from accounts.requests import LogInRequest
from accounts.throttle.budgets import joins_of
from accounts.throttle.mailed_links import queue_link
from environments.joining import tasks as joining_tasks
from environments.joining.forms import JoinByMailForm
from web.methods import require_safe_or_post


@transaction.non_atomic_requests
@never_cache
@require_safe_or_post
def join(request: LogInRequest) -> HttpResponse:
    """Ask for an address; the worker mails the link, so that the answer takes the same time for every address."""
    form = JoinByMailForm(request.POST if request.method == "POST" else None)
    if queue_link(form, task=joining_tasks.mail_link_to_join, budget_of=joins_of):
        return redirect("environments:join-sent")
    return answer(request, "environments/joining/join.html", {"form": form}, form)


@require_safe
def join_sent(request: LogInRequest) -> HttpResponse:
    return render(request, "environments/joining/join_sent.html")
