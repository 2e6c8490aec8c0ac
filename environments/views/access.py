"""Invitations from the mailbox, and asking for access."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.requests import SignInRequest
from accounts.stepup import ask_to_step_up, is_stepped_up
from accounts.throttle import TooManyTries, access_asked_by, use_up
from accounts.views.doors import hide_address
from environments import access_requests, invitations, members, roster, tasks
from environments.access import in_organisation
from environments.choices import Permission, are_sensitive
from environments.forms import AnswerForm, JoinForm
from environments.models import AccessRequest, Invitation, Organisation
from environments.requests import StudioRequest
from environments.sso import INVITATION
from web import deliveries
from web.clock import database_now


@require_http_methods(["GET", "POST"])
def open_invitation(request: SignInRequest, token: str) -> HttpResponse:
    """Show what a mailed link invites to; only a POST accepts it, because mail scanners open links too.

    Whoever has no account makes one here and then logs in like everybody; it opens no session by itself.
    """
    invitation = invitations.open_invitation(token, now=database_now())
    if invitation is None:
        return hide_address(render(request, "environments/invitation_over.html", status=404))
    request.session[INVITATION] = token  # for a log-in through a provider
    has_account = User.objects.with_address(invitation.email) is not None
    is_me = request.user.is_authenticated and request.user.email == invitation.email
    form = None if has_account or request.user.is_authenticated else JoinForm(request.POST or None)
    if request.method == "POST" and (is_me or (form is not None and form.is_valid())):
        try:
            return _accept(request, invitation, form)
        except ValidationError as error:
            if form is None:
                raise PermissionDenied(" ".join(error.messages)) from error
            form.add_error(None, error)
    login = f"{reverse('accounts:login')}?{urlencode({'next': request.path})}"
    context = {
        "invitation": invitation,
        "roles": roster.labels_of(invitations.roles_now(invitation)),
        "form": form,
        "is_me": is_me,
        "login": login,
    }
    return hide_address(render(request, "environments/invitation.html", context))


def _accept(request: SignInRequest, invitation: Invitation, form: JoinForm | None) -> HttpResponse:
    now = database_now()
    if form is None:
        invitations.accept(invitation, user=request.user, now=now)
        request.session.pop(INVITATION, None)
        return redirect("environments:home", invitation.organisation.slug)
    user = invitations.accept_as_new_user(invitation, now=now, **form.cleaned_data)
    request.session.pop(INVITATION, None)
    messages.success(request, _("Your account is there. Log in as %(email)s.") % {"email": user})
    home = reverse("environments:home", args=[invitation.organisation.slug])
    return redirect(f"{reverse('accounts:login')}?{urlencode({'next': home})}")


@require_POST
def ask_for_access(request: StudioRequest, slug: str) -> HttpResponse:
    """Take a request for access; the answer is the same whether there is anything to have access to."""
    try:
        use_up(access_asked_by(request.user))
    except TooManyTries as error:
        messages.error(request, " ".join(error.messages))
        return redirect("start")
    message = request.POST.get("message", "").replace("\0", "").strip()[:500]
    deliveries.queue_task(tasks.ask_for_access, request.user.pk, slug, message)
    return redirect("environments:access-asked")


@require_safe
def access_asked(request: StudioRequest) -> HttpResponse:
    return render(request, "environments/access_asked.html")


@require_safe
@in_organisation(may=Permission.ANSWER_ACCESS_REQUESTS)
def list_access_requests(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List who waits for access here."""
    waiting = organisation.access_requests.waiting().select_related("user")
    grantable = members.grantable_roles(request.user, organisation)
    rows = [
        (found, AnswerForm(roles=grantable, auto_id=f"id_{found.uuid}_%s"))
        for found in waiting.order_by("created_at", "pk")[:100]
    ]
    context: dict[str, Any] = {"rows": rows, "organisation": organisation}
    return render(request, "environments/access_requests.html", context)


@require_POST
@in_organisation(may=Permission.ANSWER_ACCESS_REQUESTS)
def answer_access_request(request: StudioRequest, organisation: Organisation, uuid: str) -> HttpResponse:
    """Accept with roles, or reject."""
    asked = get_object_or_404(AccessRequest.objects.select_related("user"), organisation=organisation, uuid=uuid)
    form = AnswerForm(request.POST, roles=members.grantable_roles(request.user, organisation))
    name = asked.user.label
    try:
        if request.POST.get("do") == "reject":
            access_requests.reject_request(asked, by=request.user, now=timezone.now())
            messages.success(request, _("The request of %(name)s was rejected.") % {"name": name})
        elif form.is_valid():
            roles = form.cleaned_data["roles"]
            if are_sensitive(roles) and not is_stepped_up(request):
                return ask_to_step_up(request)
            access_requests.accept_request(asked, roles=roles, by=request.user, now=timezone.now())
            messages.success(request, _("%(name)s is a member now.") % {"name": name})
        else:
            messages.error(request, _("You cannot give a role with more permissions than your own."))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("environments:access-requests", organisation.slug)
