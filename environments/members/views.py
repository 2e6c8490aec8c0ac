"""Pages of members: list, invite, change and remove them."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, ValidationError
from django.db.models import Q
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.stepup import ask_to_step_up, is_stepped_up
from accounts.throttle.queries import slowed_people
from audit.services import has_recorded_others
from environments import granting, roster
from environments.access import in_organisation
from environments.choices import Permission, are_sensitive, labels_of
from environments.fields import RolesForm
from environments.filters import last_day_before, start_of
from environments.impersonation import services as impersonation
from environments.invitations import services as invitations
from environments.invitations.forms import InviteForm
from environments.members import services as members
from environments.members.forms import EndForm, MemberFilterForm
from environments.members.queries import memberships_of
from environments.models import Invitation, Membership, Organisation
from environments.requests import StudioRequest
from web.addresses import as_kept
from web.among import Among
from web.clock import database_now
from web.methods import require_safe_or_post
from web.paging import page_of
from web.undo import Undo, say_done, undo_at

PAGE_SIZE = 50


@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_MEMBERS)
def list_members(request: StudioRequest, organisation: Organisation) -> HttpResponse:
    """List everybody with access to the organisation, and mail invitations."""
    form = InviteForm(request.POST or None, roles=granting.roles_within(request.permissions))
    if form.is_valid():
        replaced = invitations.roles_of_open_invitation(
            organisation, email=form.cleaned_data["email"], now=database_now()
        )
        if are_sensitive([*form.cleaned_data["roles"], *replaced]) and not is_stepped_up(request):
            return ask_to_step_up(request)
        try:
            invitation = invitations.invite(organisation, by=request.caller, now=database_now(), **form.cleaned_data)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            message = _("An invitation was mailed to %(email)s.") % {"email": invitation}
            if replaced and replaced != invitation.roles:
                message += " " + _("It replaces the one for: %(roles)s.") % {"roles": ", ".join(labels_of(replaced))}
            messages.success(request, message)
            # The form's own address leads to its section, below the message.
            return redirect(f"{reverse('environments:members', args=[organisation.slug])}#main")
    context = {**_listing(request, organisation), "form": form, "organisation": organisation}
    is_slowed = form.has_error(NON_FIELD_ERRORS, "too_many_tries")
    return render(request, "environments/members/list.html", context, status=429 if is_slowed else 200)


def _listing(request: StudioRequest, organisation: Organisation) -> dict[str, object]:
    form, people = MemberFilterForm(request.GET), roster.people_of(organisation)
    if words := form.asked.get("q"):
        people = people.filter(Q(name__icontains=words) | Q(email__icontains=as_kept(words)))
    if role := form.asked.get("role"):
        chain = Organisation.objects.above(organisation).order_by()
        granted = Membership.objects.live().filter(Among("organisation", chain.values("pk")), roles__contains=[role])
        people = people.filter(Among("pk", granted.values("user")))
    if form.asked.get("mfa"):
        people = roster.without_factor(people)
    people = people.annotate(**roster.member_count_columns(organisation)).order_by("email")
    page = page_of(people, request.GET.get("page"), size=PAGE_SIZE)
    first: Any = next(iter(page), None)  # with the counts of members, as every row
    own_count, above_count = (first.own_count, first.above_count) if first else roster.member_counts(organisation)
    open_ones = organisation.invitations.filter(used_at=None).select_related("invited_by")
    now, shown = timezone.now(), roster.people_with_grants(list(page), organisation, viewer=request.caller)
    return {
        "page": page,
        "people": roster.add_slowed(shown, now=now),
        "invited": [(row, labels_of(row.roles)) for row in open_ones.order_by("email")],
        "own_count": own_count,
        "above_count": above_count,
        "all_count": own_count + above_count,
        "filters": form,
        "now": now,
    }


@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_MEMBERS)
def edit_member(request: StudioRequest, organisation: Organisation, pk: int) -> HttpResponse:
    """Change a member's roles here, or when their membership ends."""
    membership = get_object_or_404(Membership.objects.select_related("user"), organisation=organisation, pk=pk)
    grantable, is_end = granting.roles_within(request.permissions), request.POST.get("do") == "end"
    form = RolesForm(None if is_end else request.POST or None, roles=grantable, initial={"roles": membership.roles})
    end_form = EndForm(request.POST if is_end else None, initial={"until": membership.expires_at})
    sent = end_form if is_end else form
    if sent.is_valid():
        if are_sensitive([*sent.cleaned_data.get("roles", []), *membership.roles]) and not is_stepped_up(request):
            return ask_to_step_up(request)
        try:
            text, undo = (_save_end if is_end else _save_roles)(request, membership, sent)
        except ValidationError as error:
            sent.add_error(None, error)
        else:
            say_done(request, text % {"name": membership.user.label}, undo)
            return redirect("environments:members", organisation.slug)
    context = {
        "form": form,
        "end_form": end_form,
        "membership": membership,
        "organisation": organisation,
        "is_higher": bool(set(membership.roles) - set(grantable)),
        "roles": labels_of(membership.roles),
        "person": roster.people_of(organisation).filter(pk=membership.user_id).first(),
        "can_read_audit_log": Permission.READ_AUDIT_LOG in request.permissions,
        "can_impersonate": not impersonation.obstacle_to_impersonation(request.caller, membership),
        "slowed": slowed_people([membership.user], now=timezone.now()).get(membership.user_id, []),
    }
    return render(request, "environments/members/member.html", context)


def _save_roles(request: StudioRequest, membership: Membership, form: Form) -> tuple[str, Undo | None]:
    """Save the roles of a valid form; return what happened, with a place for the name, and its Undo."""
    before, now = membership.roles, timezone.now()
    roles, seen = form.cleaned_data["roles"], request.POST.get("seen")
    members.change_roles(membership, roles=roles, by=request.caller, now=now, seen=seen)
    return _("The roles of %(name)s were changed."), _undo_roles(request, membership, before, since=now)


def _undo_roles(request: StudioRequest, membership: Membership, before: list[str], *, since: datetime) -> Undo | None:
    """Return the Undo of changed roles; None for one's own, and if something ended with them, which stays so."""
    if before == membership.roles or membership.user == request.user or has_recorded_others("membership.", since=since):
        return None
    place = membership.organisation.slug, membership.pk
    return undo_at("environments:member", *place, seen=membership.roles, fields={"roles": before})


def _save_end(request: StudioRequest, membership: Membership, form: Form) -> tuple[str, Undo | None]:
    """Save the end of a valid form, unless it shows the same day; return what happened, and its Undo.

    An end that was set in another time zone stays as it is while nobody chooses another day.
    """
    before, undo = membership.expires_at, None
    if form.has_changed():
        until, seen = form.cleaned_data["until"], request.POST.get("seen")
        members.change_end(membership, until=until, by=request.caller, now=timezone.now(), seen=seen)
        undo = _undo_end(request, membership, before)
    if membership.expires_at is None:
        return _("The membership of %(name)s has no end date."), undo
    return _("The end date of %(name)s was saved."), undo


def _undo_end(request: StudioRequest, membership: Membership, before: datetime | None) -> Undo | None:
    """Return the Undo of a changed end; None for one's own, and if no day here ends when it did before."""
    day = last_day_before(before) if before else None
    is_exact = day is None or start_of(day + timedelta(days=1)) == before
    if before == membership.expires_at or membership.user == request.user or not is_exact:
        return None
    fields = {"do": "end", "until": day.isoformat() if day else ""}
    place = membership.organisation.slug, membership.pk
    return undo_at("environments:member", *place, seen=membership.expires_at, fields=fields)


@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_MEMBERS)
def remove_member(request: StudioRequest, organisation: Organisation, pk: int) -> HttpResponse:
    """Ask whether to end a membership, and name what ends with it; on POST end it."""
    membership = get_object_or_404(Membership.objects.select_related("user"), organisation=organisation, pk=pk)
    if are_sensitive(membership.roles) and not is_stepped_up(request):
        return ask_to_step_up(request)
    try:
        if request.method != "POST":
            members.check_can_remove(membership, by=request.caller, now=timezone.now())
            return _ask_to_remove(request, membership)
        members.remove_member(membership, by=request.caller, now=timezone.now())
    except (ValidationError, PermissionDenied) as error:
        messages.error(request, " ".join(getattr(error, "messages", [str(error)])))
        return redirect("environments:member", organisation.slug, pk)
    messages.success(request, _("%(name)s is no longer a member.") % {"name": membership.user.label})
    if membership.user == request.user:
        return redirect("start")
    return redirect("environments:members", organisation.slug)


def _ask_to_remove(request: StudioRequest, membership: Membership) -> HttpResponse:
    context = {"organisation": membership.organisation, **_what_ends(membership)}
    return render(request, "environments/members/remove_member.html", context)


def _what_ends(membership: Membership) -> dict[str, Any]:
    organisation = membership.organisation
    above = Organisation.objects.above(organisation).exclude(pk=organisation.pk).order_by()
    return {
        "membership": membership,
        "roles": labels_of(membership.roles),
        "has_role_above": Membership.objects.live().filter(user=membership.user, organisation__in=above).exists(),
    }


@require_safe_or_post
def leave(request: StudioRequest, pk: int) -> HttpResponse:
    """Ask whether the viewer wants to end one of their own memberships, and name what ends; on POST end it."""
    membership = get_object_or_404(memberships_of(request.caller.require_person()), pk=pk)
    if are_sensitive(membership.roles) and not is_stepped_up(request):
        return ask_to_step_up(request)
    try:
        if request.method != "POST":
            members.check_can_remove(membership, by=request.caller, now=timezone.now())
            return render(request, "environments/members/leave.html", _what_ends(membership))
        members.remove_member(membership, by=request.caller, now=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("You have left %(name)s.") % {"name": membership.organisation.name})
    return redirect("accounts:profile")


@require_safe_or_post
@in_organisation(requires=Permission.MANAGE_MEMBERS)
def change_invitation(request: StudioRequest, organisation: Organisation, pk: int) -> HttpResponse:
    """Ask whether to withdraw an open invitation; on POST withdraw it, or mail it again with a new link."""
    invitation = get_object_or_404(Invitation, organisation=organisation, pk=pk, used_at=None)
    if are_sensitive(invitation.roles) and not is_stepped_up(request):
        return ask_to_step_up(request)
    if request.method != "POST":
        invitations.check_can_withdraw(invitation, by=request.caller, now=database_now())
        roles = labels_of(invitation.roles)
        context = {"organisation": organisation, "invitation": invitation, "roles": roles}
        return render(request, "environments/invitations/withdraw_invitation.html", context)
    if request.POST.get("do") == "withdraw":
        invitations.withdraw_invitation(invitation, by=request.caller, now=database_now())
        messages.success(request, _("The invitation of %(email)s was withdrawn.") % {"email": invitation})
    else:
        email, roles, until = invitation.mailbox, invitation.roles, invitation.membership_expires_at
        try:
            invitations.invite(
                organisation, email=email, roles=roles, until=until, by=request.caller, now=database_now()
            )
            messages.success(request, _("A new link was mailed to %(email)s.") % {"email": invitation})
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
    return redirect("environments:members", organisation.slug)
