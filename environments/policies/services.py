"""Write the own value of a setting, with its effective values down the tree, its event and its mails."""

from datetime import datetime

from django.db import transaction

from audit.services import record
from environments.audit_log.versions import check_version
from environments.caller import Caller
from environments.choices import ScheduleState
from environments.keys import suspension
from environments.models import MfaChange, Organisation
from environments.policies import mfa, retention
from environments.policies.mfa import MfaRule, check_mfa, loosens_mfa, mfa_as_json, refuse_to_loosen
from environments.policies.mfa_changes import end_mfa_change, mail_mfa_news
from environments.policies.resolve import lock_policies, resolve
from environments.policies.retention import Retention, check_retention, retention_as_json
from environments.policies.scheduled import pending_change, state_of


@transaction.atomic
def set_retention(organisation: Organisation, *, to: Retention, by: Caller, now: datetime) -> bool:
    """Set how long the organisation and everything below it keep conversation data, at once.

    Deletes nothing itself and checks no preview: for that, call ``archival.policy.services.change_retention``. Own
    values below are kept, also if the new lock overrules them. Returns whether anything changed. Raises
    ``ValidationError`` for a value looser than a lock above.
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
def set_require_mfa(
    organisation: Organisation,
    *,
    to: MfaRule,
    by: Caller,
    now: datetime,
    seen: str | None = None,
    announce: bool = True,
) -> bool:
    """Set the organisation's own value of Require MFA, at once for everything below it too.

    Own values below are kept, also if the new lock overrules them. Replaces a scheduled change, and mails people who
    can change the setting. Without ``announce`` the caller mails them and reviews keys later, for many changes at once.
    Returns whether anything changed. Raises ``ValidationError`` for a value looser than a lock above,
    ``PermissionDenied`` if an organisation's own key would switch the requirement, its lock or its schedule off, and
    ``ChangedMeanwhile`` if value and schedule are not those whose version is ``seen``.
    """
    lock_policies()
    organisation.refresh_from_db()
    check_mfa(organisation, to, by=by)
    own, scheduled = MfaRule.of(organisation), pending_change(MfaChange, organisation)
    if own == to and scheduled is None:
        return False
    check_version(seen, state_of(own, scheduled), organisation, "mfa_requirement.")
    if loosens_mfa(own, scheduled, to=to):
        refuse_to_loosen(by)
    if scheduled is not None:
        end_mfa_change(scheduled, ScheduleState.REPLACED, by=by, now=now)
    if own == to and scheduled is not None:
        moments = {"at": now.isoformat(), "acts_at": scheduled.acts_at.isoformat()}
        if announce:
            mail_mfa_news(organisation, "cancelled", by=by, **moments)
    else:
        write_require_mfa(organisation, to=to, by=by, now=now, announce=announce)
    return True


def write_require_mfa(
    organisation: Organisation,
    *,
    to: MfaRule,
    by: Caller,
    now: datetime,
    action: str = "mfa_requirement.changed",
    announce: bool = True,
) -> None:
    """Write a value that was checked, with its event and mails; call inside ``lock_policies()``."""
    before = mfa_as_json(organisation)
    to.write_to(organisation)
    organisation.save(update_fields=mfa.COLUMNS)
    resolve(organisation, now=now)
    organisation.refresh_from_db()
    after = mfa_as_json(organisation)
    record(action, organisation, by=by, before=before, after=after)
    what = "changed" if before["effective"] == after["effective"] else "on" if after["effective"] else "off"
    if announce:
        mail_mfa_news(organisation, what, by=by, at=now.isoformat(), value=to.value, locked=to.locked)
    if to.is_on and announce:
        suspension.review_keys(now=now, around=organisation)
