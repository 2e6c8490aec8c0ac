"""Check a list of people to invite, and invite them: each line by itself, so that one that fails stops no other."""

import logging
from datetime import datetime

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, transaction
from django.utils.translation import gettext as _

from accounts.standing import SessionOver, StepUpOver
from environments.caller import Caller
from environments.granting import RoleAboveOwn, grantable_roles
from environments.invitation_lists.lines import Line
from environments.invitations.services import InvitationAboveOwn, invite
from environments.memberships import check_end
from environments.models import Invitation, Membership, Organisation
from web.alone import name_of

logger = logging.getLogger(__name__)


def check_lines(lines: list[Line], organisation: Organisation, *, by: Caller, now: datetime) -> None:
    """Set what each line of a list leads to now. Three queries, however long the list is."""
    keys = {line.address.key for line in lines if line.address}
    members = Membership.objects.live(now).filter(organisation=organisation, user__email__in=keys)
    are_members = set(members.values_list("user__email", flat=True))
    unused = Invitation.objects.filter(organisation=organisation, email__in=keys, used_at=None, expires_at__gt=now)
    invited, grantable = {each.email: each for each in unused}, {*grantable_roles(by, organisation)}
    for line in lines:
        if line.state == "invite" and line.address and line.address.key in are_members:
            line.state = "member"
        elif line.state == "invite" and line.address:
            _check_line(line, invited.get(line.address.key), grantable={*map(str, grantable)}, now=now)


def _check_line(line: Line, invitation: Invitation | None, *, grantable: set[str], now: datetime) -> None:
    try:
        check_end(line.until, now=now)
    except ValidationError as error:
        line.refuse(words_of(error))
    if set(line.roles) - grantable:
        line.refuse(str(RoleAboveOwn()))
    elif invitation is not None and (invitation.roles, invitation.membership_expires_at) == (line.roles, line.until):
        line.state = "open"
    elif invitation is not None:
        line.replaces = invitation.roles
        if set(invitation.roles) - grantable:
            line.refuse(str(InvitationAboveOwn()))


def invite_lines(lines: list[Line], organisation: Organisation, *, by: Caller, now: datetime) -> int:
    """Mail an invitation to everybody whom ``check_lines`` found to be invited; return how many.

    Each has a transaction of its own, and the budgets of one invitation; what is refused is said in its line. Raises
    ``SessionOver`` and ``StepUpOver``; who was invited until then is invited already in the next check.
    """
    for line in lines:
        if line.state == "invite":
            _invite_line(line, organisation, by=by, now=now)
    return sum(line.state == "invited" for line in lines)


def _invite_line(line: Line, organisation: Organisation, *, by: Caller, now: datetime) -> None:
    try:
        with transaction.atomic():
            invite(organisation, email=line.typed, roles=line.roles, until=line.until, by=by, now=now)
    except (SessionOver, StepUpOver):
        raise
    except (ValidationError, PermissionDenied) as error:
        line.refuse(words_of(error))
    except DatabaseError as error:
        logger.error("A line of a list of invitations is left out: %s.", name_of(error))
        line.refuse(_("This invitation could not be stored. Send it again."))
    else:
        line.state = "invited"


def words_of(error: ValidationError | PermissionDenied) -> str:
    """Return the sentences of an error."""
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
