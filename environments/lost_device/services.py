"""Reset the second factors of a member who lost their device: who can, and what is removed."""

from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django_otp.models import Device

from accounts.factors import services as factors
from accounts.models import SessionRecord, User
from accounts.requirement import devices_of
from accounts.standing import lock_to_act
from audit.services import record
from environments.caller import SYSTEM, Caller
from environments.keys import suspension
from environments.keys.services import revoke_key
from environments.models import ApiKey, Membership
from environments.roster import administers_everything


@dataclass(frozen=True, slots=True)
class Losses:
    """The factors, sessions and keys that a reset of somebody's factors removes."""

    devices: list[Device]
    codes_left: int
    sessions: list[SessionRecord]
    keys: list[ApiKey]


def obstacle_to_reset(by: Caller, user: User) -> str:
    """Return a text that says why ``by`` cannot reset the factors of ``user``, and who can; empty if ``by`` can."""
    if by.user == user:
        return _("You cannot reset your own second factors. Ask another Administrator, or a super user.")
    if user.is_superuser:
        return _("This person is a super user. Only an operator of this server can reset their second factors.")
    if not administers_everything(by, user):
        return _(
            "Only an Administrator of every organisation that this person has access to can reset their second "
            "factors. Ask a super user of this installation."
        )
    return ""


def losses_of(user: User) -> Losses:
    return Losses(
        devices=devices_of(user),
        codes_left=user.recovery_codes.filter(used_at=None).count(),
        sessions=list(user.sessions.open().order_by("-last_seen_at", "-pk")),
        keys=list(_unrevoked_keys(user)),
    )


@transaction.atomic
def reset_factors(user: User, *, by: Caller, now: datetime) -> int:
    """Remove every second factor of ``user``, end their sessions, revoke their API keys, and mail them.

    Returns how many factors there were. ``by`` is ``SYSTEM`` for the command line, the only way for a super user.
    Recorded in the audit log of each of their organisations. Raises ``PermissionDenied``, also for keys and
    impersonators.
    """
    person = None if by == SYSTEM else by.require_person()
    lock_to_act(user, is_fresh=True)
    if person is not None and (why_not := obstacle_to_reset(by, user)):
        raise PermissionDenied(why_not)
    keys = list(_unrevoked_keys(user))
    for key in keys:
        revoke_key(key, by=by, now=now, mails_owner=False)
    sessions = user.sessions.open().count()
    count = factors.reset(user, by=person, now=now)
    suspension.review_keys(now=now, person=user)
    removed = {"factors": count, "sessions": sessions, "api_keys": len(keys)}
    for membership in Membership.objects.live(now).filter(user=user).select_related("organisation"):
        record("factors.reset", membership.organisation, by=by, subject=user, before=removed)
    return count


def _unrevoked_keys(user: User) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(owner=user, revoked_at=None).select_related("organisation").order_by("pk")
