"""End a scheduled change of Require MFA, and mail people who can change the setting. Call inside a transaction."""

from datetime import datetime
from typing import Any

from audit.services import label_of, record
from environments.caller import Caller
from environments.choices import ScheduleState
from environments.models import MfaChange, Organisation
from environments.policies.mfa import MfaRule
from environments.policies.mfa_mail import mail_administrators
from environments.policies.scheduled import end_change
from web import deliveries
from web.models import Delivery


def mfa_change_as_json(change: MfaChange) -> dict[str, Any]:
    """Return a scheduled change as events store it."""
    return {**MfaRule.on(locked=change.locked).as_json(), "acts_at": change.acts_at.isoformat()}


def end_mfa_change(change: MfaChange, state: ScheduleState, *, by: Caller, now: datetime) -> None:
    """End a pending change; unless it is applied, withdraw its reminders and record the end."""
    end_change(change, state, by=by, now=now)
    if state != ScheduleState.APPLIED:
        reminders = Delivery.objects.filter(about__startswith=about_reminders(change))
        deliveries.withdraw_all(reminders)
        record(f"mfa_requirement.change_{state}", change.organisation, by=by, before=mfa_change_as_json(change))


def about_reminders(change: MfaChange) -> str:
    """Return the first part of ``Delivery.about`` for the reminders of a change."""
    return f"mfa change {change.pk} "


def mail_mfa_news(organisation: Organisation, what: str, *, by: Caller, **facts: Any) -> None:
    """Mail people who can change the setting what happened to it.

    ``templates/mail/mfa_setting.html`` shows ``what`` and ``facts``.
    """
    mail_administrators(organisation, {"what": what, "who": label_of(by), **facts})
