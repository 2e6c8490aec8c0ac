"""A requirement that waits for its date: find it, end it, tell those who may change it. Inside a transaction."""

from datetime import datetime
from typing import Any

from audit.services import Actor, label_of, record
from environments.choices import MfaSetting, ScheduleState
from environments.models import MfaChange, Organisation
from environments.policies.mfa_mail import mail_administrators
from web import deliveries
from web.models import Delivery


def pending_change(organisation: Organisation) -> MfaChange | None:
    """Return what is scheduled for this very organisation; inside ``lock_policies()`` it stays that way."""
    return MfaChange.objects.filter(organisation=organisation, state=ScheduleState.PENDING).first()


def told(change: MfaChange) -> dict[str, Any]:
    """Return what an audit line tells of a scheduled change."""
    return {"require_mfa": MfaSetting.ON, "locked": change.locked, "acts_at": change.acts_at.isoformat()}


def end(change: MfaChange, state: ScheduleState, *, by: Actor | None, now: datetime) -> None:
    """End a pending change; how it was applied is told by the line of the setting itself."""
    change.state, change.ended_at, change.ended_label = state, now, label_of(by)
    change.save(update_fields=["state", "ended_at", "ended_label"])
    if state != ScheduleState.APPLIED:
        reminders = Delivery.objects.filter(about__startswith=about_reminders(change))
        deliveries.withdraw_all(reminders)
        record(f"mfa_requirement.change_{state}", change.organisation, by=by, before=told(change))


def about_reminders(change: MfaChange) -> str:
    """Return how the names begin of what reminders of a change are about."""
    return f"mfa change {change.pk} "


def tell_administrators(organisation: Organisation, what: str, *, by: Actor | None, **facts: Any) -> None:
    """Mail those who have permission to change the setting.

    ``what`` and ``facts`` are what ``templates/mail/mfa_setting.html`` asks for.
    """
    mail_administrators(organisation, {"what": what, "who": label_of(by), **facts})
