"""The page that a mailed invitation opens."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.pages import fill_in_at_log_in, hide_address
from accounts.requests import LogInRequest
from environments.choices import Role, labels_of
from environments.invitations import services as invitations
from environments.invitations.forms import JoinForm
from environments.invitations.services import INVITATION
from environments.models import Invitation
from web.clock import database_now
from web.compression import shows_secret
from web.methods import require_safe_or_post


@shows_secret
@require_safe_or_post
def open_invitation(request: LogInRequest, token: str) -> HttpResponse:
    """Show what a mailed link invites to; only a POST accepts it, because mail scanners open links too.

    Somebody without an account creates one here and then logs in; accepting opens no session.
    """
    invitation = invitations.open_invitation(token, now=database_now())
    if invitation is None:
        return hide_address(render(request, "environments/invitations/invitation_over.html", status=404))
    request.session[INVITATION] = token  # for a log-in through a provider
    fill_in_at_log_in(request, str(invitation))
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
    given = invitations.roles_given_now(invitation)
    context = {
        "invitation": invitation,
        "roles": labels_of(given),
        "explained": [role for role in Role if role.value in given],
        "form": form,
        "is_me": is_me,
        "login": login,
    }
    return hide_address(render(request, "environments/invitations/invitation.html", context))


def _accept(request: LogInRequest, invitation: Invitation, form: JoinForm | None) -> HttpResponse:
    now = database_now()
    if form is None:
        invitations.accept_invitation(invitation, user=request.user, now=now)
        request.session.pop(INVITATION, None)
        return redirect("environments:home", invitation.organisation.slug)
    user = invitations.accept_as_new_user(invitation, now=now, **form.cleaned_data)
    request.session.pop(INVITATION, None)
    messages.success(request, _("Your account was created. Log in as %(email)s.") % {"email": user})
    home = reverse("environments:home", args=[invitation.organisation.slug])
    return redirect(f"{reverse('accounts:login')}?{urlencode({'next': home})}")
