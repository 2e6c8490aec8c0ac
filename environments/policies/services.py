"""Write the own value of a setting: what follows from it down the tree, the audit line, the mails."""

from datetime import datetime

from django.db import transaction

from audit.services import record
from environments.caller import Caller
from environments.choices import ScheduleState
from environments.keys import resting
from environments.models import MfaChange, Organisation
from environments.policies import mfa, retention
from environments.policies.mfa import MfaRule, check_mfa, loosens_mfa, mfa_as_json, refuse_to_loosen
from environments.policies.mfa_changes import end_mfa_change, tell_administrators
from environments.policies.resolve import lock_policies, resolve
from environments.policies.retention import Retention, check_retention, retention_as_json
from environments.policies.scheduled import pending_change


@transaction.atomic
def set_retention(organisation: Organisation, *, to: Retention, by: Caller, now: datetime) -> bool:
    """Set how long the organisation keeps conversation data, for itself and all below; acts at once.

    The inert primitive: it deletes nothing and asks nobody. Whoever may shorten something calls
    ``archival.policy.services.change_retention``. Own values below are kept, also where the new lock overrules them.
    Returns whether anything changed. Raises ``ValidationError`` for a value looser than a lock above.
    """
    lock_policies()
    organisation.refresh_from_db()
    check_retention(organisation, to, by=by)
    if Retention.of(organisation) == to:
        return False
    before = retention_as_json(organisation)
    to.write_to(organisation)
    organisation.save(update_fields=retention.COLUMNS)
    resolve(organisation, now=now)
    organisation.refresh_from_db()
    record("retention.changed", organisation, by=by, before=before, after=retention_as_json(organisation))
    return True


@transaction.atomic
def set_require_mfa(organisation: Organisation, *, to: MfaRule, by: Caller, now: datetime) -> bool:
    """Set what the organisation itself says about multi-factor authentication; acts at once for all below it.

    Own values below are kept, also where the new lock overrules them. What was scheduled here is replaced, and whoever
    may change the setting is mailed. Returns whether anything changed. Raises ``ValidationError`` for a value looser
    than a lock above, ``PermissionDenied`` where an organisation's own key would switch the requirement, its lock or
    its schedule off.
    """
    lock_policies()
    organisation.refresh_from_db()
    check_mfa(organisation, to, by=by)
    own, scheduled = MfaRule.of(organisation), pending_change(MfaChange, organisation)
    if own == to and scheduled is None:
        return False
    if loosens_mfa(own, scheduled, to=to):
        refuse_to_loosen(by)
    if scheduled is not None:
        end_mfa_change(scheduled, ScheduleState.REPLACED, by=by, now=now)
    if own == to and scheduled is not None:
        moments = {"at": now.isoformat(), "acts_at": scheduled.acts_at.isoformat()}
        tell_administrators(organisation, "cancelled", by=by, **moments)
    else:
        write_require_mfa(organisation, to=to, by=by, now=now)
    return True


def write_require_mfa(
    organisation: Organisation,
    *,
    to: MfaRule,
    by: Caller,
    now: datetime,
    action: str = "mfa_requirement.changed",
) -> None:
    """Write a checked value with its audit line and mails; inside ``lock_policies()``."""
    before = mfa_as_json(organisation)
    to.write_to(organisation)
    organisation.save(update_fields=mfa.COLUMNS)
    resolve(organisation, now=now)
    organisation.refresh_from_db()
    after = mfa_as_json(organisation)
    record(action, organisation, by=by, before=before, after=after)
    what = "changed" if before["effective"] == after["effective"] else "on" if after["effective"] else "off"
    tell_administrators(organisation, what, by=by, at=now.isoformat(), value=to.value, locked=to.locked)
    if to.is_on:
        resting.review_all(now=now, around=organisation)
