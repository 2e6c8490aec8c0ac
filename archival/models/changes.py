"""Models of changes of retention and of their announcements."""

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from archival.choices import ChangeState
from environments.choices import Archival
from environments.models import Membership, Organisation, ScheduledChange
from environments.policies.retention import CHANGED_BY, Retention
from web.choices import DeliveryState
from web.clock import in_calendar, null_exactly_while
from web.models import Delivery


class PolicyChange(ScheduledChange):
    """One change of an organisation's own retention, or a move that shortens a limit: pending, or ended as history.

    A pending change has no effect on readers or on the purge yet. The row outlives the organisations that it names.
    """

    organisation = models.ForeignKey(
        Organisation, models.DO_NOTHING, related_name="policy_changes", db_constraint=False
    )
    archival = models.CharField(max_length=7, choices=Archival)
    days = models.PositiveSmallIntegerField(null=True)
    locked = models.BooleanField(null=True)  # None, in rows of an earlier release: the lock stays as it is
    # Set for a move below another parent that shortens a limit; the three fields above then keep their values.
    new_parent = models.ForeignKey(
        Organisation, models.DO_NOTHING, null=True, related_name="+", db_constraint=False, db_index=False
    )
    new_parent_label = models.CharField(max_length=255, blank=True, default="", db_default="")
    preview = models.JSONField(default=dict)  # what it would delete, counted at ``counted_at``
    announced = models.JSONField(default=dict)  # the new limit of each environment whose limit it shortens, by id
    counted_at = models.DateTimeField(default=timezone.now)  # when it was requested, or last announced again
    state = models.CharField(max_length=10, choices=ChangeState, default=ChangeState.PENDING)
    reason = models.CharField(max_length=255, blank=True)  # why it was refused
    unsent_alarm_at = models.DateTimeField(null=True)  # when super users got a mail that its announcement was not sent

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("counted_at", "requested_at", "acts_at", "ended_at"),
                name="change_is_in_the_calendar",
            ),
            models.CheckConstraint(condition=in_calendar("unsent_alarm_at"), name="unsent_alarm_is_in_the_calendar"),
            models.CheckConstraint(condition=Q(state__in=ChangeState.values), name="change_state_is_known"),
            models.CheckConstraint(
                condition=null_exactly_while("ended_at", state=ChangeState.PENDING),
                name="change_is_pending_or_ended",
            ),
            models.CheckConstraint(
                condition=Q(archival=Archival.LIMIT, days__isnull=False, days__range=(1, 3650))
                | Q(~Q(archival=Archival.LIMIT), days=None),
                name="change_has_days_with_a_limit",
            ),
            models.UniqueConstraint(
                fields=["organisation"],
                condition=Q(state=ChangeState.PENDING),
                name="one_pending_change_per_organisation",
            ),
        ]
        indexes = [models.Index("acts_at", name="change_due", condition=Q(state=ChangeState.PENDING))]

    def __str__(self) -> str:
        return f"{self.organisation_id}: {self.target}"

    @property
    def retention(self) -> Retention:
        """The retention that it sets; without a stored lock, the lock is that of the organisation now."""
        to = Retention(self.archival, self.days, bool(self.locked))
        return to if self.locked is not None else to.with_lock_of(Retention.of(self.organisation))

    @property
    def deletes(self) -> bool:
        """Whether it would delete anything, by its last count."""
        return any(count for kind, count in self.preview.items() if kind != "bytes")

    @property
    def is_scheduled(self) -> bool:
        """Whether it waits for a chosen date, and not for ``COOLING_OFF_HOURS``."""
        return not self.deletes or self.acts_at > self.counted_at + timedelta(hours=settings.COOLING_OFF_HOURS)

    @property
    def is_announced_again(self) -> bool:
        """Whether its wait began again, because it would delete more than was announced."""
        return self.counted_at > self.requested_at

    @cached_property
    def unsent_count(self) -> int:
        """How many people who can cancel the change have not been sent its announcement yet.

        People who lost the permission to cancel it do not count. A change that shortens no limit waits for nobody. Two
        queries at most.
        """
        if not self.announced:
            return 0
        node = self.organisation
        concerned = Q(organisation__path__in=node.lineage) | Q(organisation__path__startswith=node.path)
        granted = Membership.objects.live().allowing(CHANGED_BY).filter(concerned)
        waiting = self.announcements.filter(delivery__state=DeliveryState.WAITING, user__is_active=True)
        return waiting.filter(user__in=granted.values("user")).values("user").distinct().count()

    @property
    def waits_for_mail(self) -> bool:
        """Whether the change has to wait until its announcement has been sent, even if its time has come."""
        return self.awaits_announcement or self.unsent_count > 0

    @property
    def target(self) -> str:
        """The new retention or the new place, as text for a page or a mail."""
        if self.new_parent_id is not None:
            return _("a place below %(name)s") % {"name": self.new_parent_label}
        if self.archival == Archival.LIMIT:
            return ngettext("%(days)s day", "%(days)s days", self.days or 0) % {"days": self.days}
        return str(Archival(self.archival).label)


class Announcement(models.Model):
    """A mail that announces a change to one person; a change has many, and one mail can announce many changes."""

    change = models.ForeignKey(PolicyChange, models.CASCADE, related_name="announcements", db_index=False)
    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["change", "delivery"], name="one_announcement_per_mail")]

    def __str__(self) -> str:
        return f"{self.change_id}: {self.delivery_id}"
