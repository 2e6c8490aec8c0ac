"""The pages of invitation links: to make and revoke them, and the one that a link opens."""

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.pages import answer, hide_address
from accounts.requests import LogInRequest
from accounts.stepup import ask_to_step_up, is_stepped_up
from accounts.throttle.budgets import addresses_of_link, mails_to_stranger
from accounts.throttle.mailed_links import queue_link
from environments import granting
from environments.access import in_organisation
from environments.choices import Permission, Role, are_sensitive
from environments.invitation_links import services as links
from environments.invitation_links import tasks as link_tasks
from environments.invitation_links.forms import LinkForm, MailboxForm
from environments.models import InvitationLink, Organisation
from environments.requests import StudioRequest
from web.addresses import readable
from web.clock import database_now
from web.compression import shows_secret
from web.methods import require_safe_or_post
from web.paging import page_of

PAGE_SIZE = 50


@never_cache
@shows_secret
@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_MEMBERS)
def list_links(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List the links that nobody used yet, and make one, which this response shows and no later one."""
    roles = granting.roles_within(request.permissions)
    form, address, now = LinkForm(request.POST or None, roles=roles), None, database_now()
    if form.is_valid():
        if are_sensitive(form.cleaned_data["roles"]) and not is_stepped_up(request):
            return ask_to_step_up(request)
        try:
            _link, token = links.create_link(organisation, by=request.caller, now=now, **form.cleaned_data)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            address = settings.SITE_URL + reverse("environments:invitation-link", args=[token])
            form = LinkForm(roles=roles)
    unused = organisation.invitation_links.filter(used_at=None).select_related("created_by")
    page = page_of(unused.order_by("-created_at", "-pk"), request.GET.get("page"), size=PAGE_SIZE)
    context = {"organisation": organisation, "form": form, "address": address, "page": page, "now": now}
    return answer(request, "environments/invitation_links/list.html", context, form)


@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_MEMBERS)
def revoke_link(request: StudioRequest, organisation: Organisation, pk: int) -> HttpResponse:
    """Ask whether to revoke a link that nobody used yet; on POST revoke it."""
    link = get_object_or_404(InvitationLink, organisation=organisation, pk=pk, used_at=None)
    if are_sensitive(link.roles) and not is_stepped_up(request):
        return ask_to_step_up(request)
    if request.method != "POST":
        links.check_can_revoke(link, by=request.caller, now=database_now())
        context = {"organisation": organisation, "link": link}
        return render(request, "environments/invitation_links/revoke_link.html", context)
    links.revoke_link(link, by=request.caller, now=database_now())
    messages.success(request, _("The invitation link was revoked."))
    return redirect("environments:invitation-links", organisation.slug)


@transaction.non_atomic_requests
@never_cache
@shows_secret
@require_safe_or_post
def open_link(request: LogInRequest, token: str) -> HttpResponse:
    """Ask whoever opens a link for their address; the worker mails the invitation, so that all answers are alike."""
    link = links.open_link(token, now=database_now())
    if link is None:
        return hide_address(render(request, "environments/invitations/invitation_over.html", status=404))
    mine = {"email": readable(request.user.email)} if request.user.is_authenticated else None
    form = MailboxForm(request.POST if request.method == "POST" else None, initial=mine)
    if queue_link(
        form,
        task=link_tasks.mail_invitation_of_link,
        budget_of=mails_to_stranger,
        more_budgets=[addresses_of_link(link.pk)],
        arguments=[link.pk],
    ):
        return redirect("environments:invitation-link-sent")
    context = {"form": form, "link": link, "explained": [role for role in Role if role.value in link.roles]}
    return hide_address(answer(request, "environments/invitation_links/open_link.html", context, form))


@require_safe
def link_opened(request: LogInRequest) -> HttpResponse:
    return render(request, "environments/invitation_links/link_opened.html")
