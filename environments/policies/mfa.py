"""Require MFA: changing the own value of an organisation."""

from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.translation import gettext as _

from audit.services import Actor, record
from environments.choices import MfaSetting, ScheduleState
from environments.keys import resting
from environments.models import MfaChange, Organisation
from environments.policies.mfa_changes import end, is_no_person, pending_change, tell_administrators
from environments.policies.refusals import name_for, refusal
from environments.policies.resolve import lock_policies, resolve


@transaction.atomic
def set_require_mfa(
    organisation: Organisation, *, value: str, locked: bool | None = None, by: Actor | None, now: datetime
) -> bool:
    """Set what the organisation itself says about multi-factor authentication; acts at once for all below it.

    ``value`` is a ``MfaSetting``; ``locked`` None leaves the lock as it is (a value other than on takes it off). Own
    values below are kept, also where the new lock overrules them. What was scheduled here is replaced, and whoever may
    change the setting is mailed. Returns whether anything changed. Raises ``ValidationError`` for an unknown value, a
    lock on anything but on, and a value looser than a lock above, ``PermissionDenied`` where an organisation's own key
    would switch the requirement, its lock or its schedule off.
    """
    lock_policies()
    organisation.refresh_from_db()
    if value not in MfaSetting.values:
        raise refusal("require_mfa", _("Choose inherit, on or off."), code="invalid")
    if locked is None:
        locked = organisation.require_mfa_locked and value == MfaSetting.ON
    if locked and value != MfaSetting.ON:
        raise refusal("require_mfa_locked", _("Only the value on can be locked."), code="not_lockable")
    lock = mfa_lock_above(organisation)
    if value == MfaSetting.OFF and lock is not None:
        message = _("%(name)s locks this setting: it stays on.") % {"name": name_for(lock, by)}
        raise refusal("require_mfa", message, code="locked")
    is_same = (organisation.require_mfa, organisation.require_mfa_locked) == (value, locked)
    scheduled = pending_change(organisation)
    if is_same and scheduled is None:
        return False
    if is_no_person(by) and loosens_mfa(organisation, scheduled, value=value, locked=locked):
        raise PermissionDenied(_("A key of an organisation cannot loosen the multi-factor requirement."))
    if scheduled is not None:
        end(scheduled, ScheduleState.REPLACED, by=by, now=now)
    if is_same and scheduled is not None:
        moments = {"at": now.isoformat(), "acts_at": scheduled.acts_at.isoformat()}
        tell_administrators(organisation, "cancelled", by=by, **moments)
    else:
        put_require_mfa(organisation, value=value, locked=locked, by=by, now=now)
    return True


def loosens_mfa(organisation: Organisation, scheduled: MfaChange | None, *, value: str, locked: bool) -> bool:
    """Tell whether this value asks for less than what the organisation says now, or has said for a date.

    Inherit in place of on counts even where on is inherited: the organisation above may end that any day.
    """
    if value == MfaSetting.ON:
        return not locked and (organisation.require_mfa_locked or (scheduled is not None and scheduled.locked))
    said_on = organisation.require_mfa == MfaSetting.ON or scheduled is not None
    return said_on or (value == MfaSetting.OFF and organisation.require_mfa != MfaSetting.OFF)


def put_require_mfa(
    organisation: Organisation,
    *,
    value: str,
    locked: bool,
    by: Actor | None,
    now: datetime,
    action: str = "mfa_requirement.changed",
) -> None:
    """Write a checked value with its audit line and mails; inside ``lock_policies()``."""
    before = mfa_policy(organisation)
    organisation.require_mfa, organisation.require_mfa_locked = value, locked
    organisation.save(update_fields=["require_mfa", "require_mfa_locked"])
    resolve(organisation, now=now)
    organisation.refresh_from_db()
    after = mfa_policy(organisation)
    record(action, organisation, by=by, before=before, after=after)
    what = "changed" if before["effective"] == after["effective"] else "on" if after["effective"] else "off"
    tell_administrators(organisation, what, by=by, at=now.isoformat(), value=value, locked=locked)
    if value == MfaSetting.ON:
        resting.review_all(now=now, around=organisation)


def mfa_lock_above(organisation: Organisation) -> Organisation | None:
    """Return the uppermost organisation above that locks MFA on, or None."""
    above = Organisation.objects.above(organisation).exclude(pk=organisation.pk)
    return above.filter(require_mfa_locked=True).first()


def mfa_policy(organisation: Organisation) -> dict[str, Any]:
    """Return what an audit line tells of the MFA setting."""
    return {
        "require_mfa": organisation.require_mfa,
        "locked": organisation.require_mfa_locked,
        "effective": organisation.effective_require_mfa,
    }
