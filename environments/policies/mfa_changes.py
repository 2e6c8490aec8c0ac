"""A requirement that waits for its date: end it, and tell those with permission to change it. Inside a transaction."""

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


def change_as_json(change: MfaChange) -> dict[str, Any]:
    """Return what an audit line tells of a scheduled change."""
    return {**MfaRule.on(locked=change.locked).as_json(), "acts_at": change.acts_at.isoformat()}


def end_mfa_change(change: MfaChange, state: ScheduleState, *, by: Caller, now: datetime) -> None:
    """End a pending change; how it was applied is told by the line of the setting itself."""
    end_change(change, state, by=by, now=now)
    if state != ScheduleState.APPLIED:
        reminders = Delivery.objects.filter(about__startswith=about_reminders(change))
        deliveries.withdraw_all(reminders)
        record(f"mfa_requirement.change_{state}", change.organisation, by=by, before=change_as_json(change))


def about_reminders(change: MfaChange) -> str:
    """Return how the names begin of what reminders of a change are about."""
    return f"mfa change {change.pk} "


def tell_administrators(organisation: Organisation, what: str, *, by: Caller, **facts: Any) -> None:
    """Mail those who have permission to change the setting.

    ``what`` and ``facts`` are what ``templates/mail/mfa_setting.html`` asks for.
    """
    mail_administrators(organisation, {"what": what, "who": label_of(by), **facts})
