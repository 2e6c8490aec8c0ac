"""Request access to an organisation, and accept or reject such requests."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.standing import lock_to_act
from audit.services import record
from environments.access import permissions_in
from environments.access_requests.mail import mail_acceptance, mail_rejection, mail_request
from environments.caller import Caller
from environments.choices import Permission, are_sensitive
from environments.granting import lock_to_grant
from environments.memberships import grant_membership
from environments.models import AccessRequest, Organisation


@transaction.atomic
def ask_for_access(user: User, slug: str, *, message: str, now: datetime) -> AccessRequest | None:
    """Store a request of ``user`` for access to the organisation with this slug, mail those who can answer, return it.

    Stores nothing and returns None if there is no such organisation, it is suspended, or they have access. A request of
    theirs that is waiting stays as it is.
    """
    organisation = Organisation.objects.live().filter(slug=slug).order_by().first()
    if organisation is None or Permission.VIEW in permissions_in(Caller.of(user), organisation):
        return None
    request, is_new = AccessRequest.objects.get_or_create(
        organisation=organisation,
        user=user,
        state=AccessRequest.State.WAITING,
        defaults={"message": message.strip()[:500], "created_at": now},
    )
    if is_new:
        record("access_request.made", organisation, by=user, subject=user)
        mail_request(request)
    return request


@transaction.atomic
def accept_request(
    request: AccessRequest, *, roles: list[str], until: datetime | None = None, by: Caller, now: datetime
) -> None:
    """Make the person who asked a member with these roles, until an end if given, and mail them.

    Raises ``PermissionDenied`` for a role with more permissions than ``by``, ``ValidationError`` for no roles, for an
    end in the past, for a request that was answered already, and for somebody whose account is closed.
    """
    lock_to_act(request.user, is_fresh=are_sensitive(roles))  # and the person who accepts, in the one order of locks
    lock_to_grant(by, request.organisation, roles)
    _answer(request, AccessRequest.State.ACCEPTED, by=by, now=now)
    membership = grant_membership(request.user, request.organisation, roles=roles, until=until, by=by, now=now)
    record("access_request.accepted", request.organisation, by=by, subject=request.user, after={"roles": sorted(roles)})
    mail_acceptance(request, membership, now=now)


@transaction.atomic
def reject_request(request: AccessRequest, *, by: Caller, now: datetime) -> None:
    """Reject the request, and mail the person who asked.

    Raises ``ValidationError`` for a request that was answered already.
    """
    _answer(request, AccessRequest.State.REJECTED, by=by, now=now)
    record("access_request.rejected", request.organisation, by=by, subject=request.user)
    mail_rejection(request, now=now)


def _answer(request: AccessRequest, state: str, *, by: Caller, now: datetime) -> None:
    waiting = AccessRequest.objects.filter(pk=request.pk, state=AccessRequest.State.WAITING)
    if not waiting.update(state=state, answered_at=now, answered_by=by.person):
        raise ValidationError(_("Somebody has already answered this request."))
