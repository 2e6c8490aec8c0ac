"""Changes of Require MFA that wait for their date, and the reminders of them."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from environments.choices import Reminder, ScheduleState
from environments.models.organisations import Organisation
from environments.models.scheduled import ScheduledChange
from web.clock import in_calendar, null_exactly_while


class MfaChange(ScheduledChange):
    """A scheduled change of Require MFA to On."""

    organisation = models.ForeignKey(Organisation, models.DO_NOTHING, related_name="mfa_changes", db_constraint=False)
    locked = models.BooleanField(default=False)  # whether On is then locked for everything below

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("requested_at", "acts_at", "ended_at"), name="mfa_change_is_in_the_calendar"
            ),
            models.CheckConstraint(condition=Q(state__in=ScheduleState.values), name="mfa_change_state_is_known"),
            models.CheckConstraint(
                condition=null_exactly_while("ended_at", state=ScheduleState.PENDING),
                name="mfa_change_is_pending_or_ended",
            ),
            models.UniqueConstraint(
                fields=["organisation"],
                condition=Q(state=ScheduleState.PENDING),
                name="one_pending_mfa_change_per_organisation",
            ),
        ]
        indexes = [models.Index("acts_at", name="mfa_change_due", condition=Q(state=ScheduleState.PENDING))]

    def __str__(self) -> str:
        return f"{self.organisation_id}: {self.acts_at:%Y-%m-%d %H:%M}"


class MfaReminder(models.Model):
    """A reminder that a member was mailed. Its row makes sure that each reminder is sent once."""

    change = models.ForeignKey(MfaChange, models.CASCADE, related_name="reminders", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    which = models.CharField(max_length=5, choices=Reminder)
    sent_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=in_calendar("sent_at"), name="reminder_is_in_the_calendar"),
            models.UniqueConstraint("change", "user", "which", name="one_mail_per_reminder_and_member"),
        ]
