"""Bulk changes, templates, the figures of compliance of each day, and mails about them: digests and reminders."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from agencies.choices import ItemState
from archival.models import PolicyChange
from conversations.models import DAYS_OF_THE_CALENDAR
from environments.choices import LONGEST_LIMIT_DAYS, Archival, MfaSetting, Role
from environments.models import MfaChange, Organisation
from web.clock import in_calendar, null_exactly_while


class BulkChange(models.Model):
    """A change of settings in many environments at once. The rows outlive the organisations that they name."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    # The page from which it was started.
    organisation = models.ForeignKey(Organisation, models.DO_NOTHING, related_name="bulk_changes", db_constraint=False)
    organisation_label = models.CharField(max_length=255)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    requested_label = models.CharField(max_length=320)
    requested_at = models.DateTimeField(default=timezone.now)
    wanted = models.JSONField()  # ``agencies.bulk.wanted.Wanted`` as JSON; empty in one that reverts another
    # Whether the name was typed that confirms what is deleted at once, where ``COOLING_OFF_HOURS`` is 0.
    deletes_at_once = models.BooleanField(default=False, db_default=False)
    environment_count = models.PositiveIntegerField(default=0, db_default=0)
    reverts = models.ForeignKey("self", models.SET_NULL, null=True, related_name="reversals")
    ended_at = models.DateTimeField(null=True)  # when every environment was done, and the mails about them were queued

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("requested_at", "ended_at"), name="bulk_change_is_in_the_calendar"
            ),
        ]
        indexes = [models.Index("id", name="bulk_change_running", condition=Q(ended_at=None))]

    def __str__(self) -> str:
        return str(self.uuid)

    @property
    def is_running(self) -> bool:
        return self.ended_at is None


class BulkItem(models.Model):
    """One environment of a bulk change: what is wanted there, and what became of it."""

    job = models.ForeignKey(BulkChange, models.CASCADE, related_name="items", db_index=False)
    environment = models.ForeignKey(
        Organisation, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    environment_label = models.CharField(max_length=255)
    wanted = models.JSONField()  # as ``BulkChange.wanted``
    before = models.JSONField(default=dict, db_default={})  # the own values that it changed, by setting
    left = models.JSONField(default=dict, db_default={})  # the version of each of them afterwards, with what is pending
    policy_change = models.ForeignKey(
        PolicyChange, models.SET_NULL, null=True, related_name="+", db_constraint=False, db_index=False
    )
    mfa_change = models.ForeignKey(
        MfaChange, models.SET_NULL, null=True, related_name="+", db_constraint=False, db_index=False
    )
    state = models.CharField(max_length=9, choices=ItemState, default=ItemState.WAITING)
    reason = models.CharField(max_length=255, blank=True, default="", db_default="")  # in English
    tries = models.PositiveSmallIntegerField(default=0, db_default=0)  # that a database error ended
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "environment"], name="one_item_per_job_and_environment"),
            models.CheckConstraint(condition=Q(state__in=ItemState.values), name="bulk_item_state_is_known"),
            models.CheckConstraint(condition=in_calendar("ended_at"), name="bulk_item_is_in_the_calendar"),
            models.CheckConstraint(
                condition=null_exactly_while("ended_at", state=ItemState.WAITING), name="bulk_item_waits_or_ended"
            ),
        ]
        indexes = [models.Index("job", "tries", "id", name="bulk_item_waiting", condition=Q(state=ItemState.WAITING))]

    def __str__(self) -> str:
        return f"{self.job_id}: {self.environment_label}"

    @property
    def as_state(self) -> ItemState:
        return ItemState(self.state)


class ComplianceDay(models.Model):
    """The figures of compliance of an organisation above environments on a UTC day, by name, without zeros."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="compliance_days", db_index=False)
    day = models.DateField()
    figures = models.JSONField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(day__range=DAYS_OF_THE_CALENDAR), name="figures_are_in_the_calendar"),
            models.UniqueConstraint(fields=["organisation", "day"], name="one_compliance_day_per_organisation"),
        ]

    def __str__(self) -> str:
        return f"{self.organisation_id}: {self.day}"


class DigestReader(models.Model):
    """Somebody who wants the figures of compliance of an organisation by mail, every week."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="digest_readers")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=in_calendar("created_at"), name="digest_reader_is_in_the_calendar"),
            models.UniqueConstraint(fields=["user", "organisation"], name="one_digest_per_person_and_organisation"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.organisation_id}"


class WeeklyDigest(models.Model):
    """The digest of a week, which is done for that person and organisation, also if they could not get it."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    week = models.DateField()  # its Monday

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(week__range=DAYS_OF_THE_CALENDAR), name="digest_is_in_the_calendar"),
            models.UniqueConstraint(fields=["user", "organisation", "week"], name="one_digest_a_week"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.organisation_id}, {self.week}"


class FactorReminder(models.Model):
    """When somebody was last reminded by mail to set up a second factor."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="factor_reminder")
    reminded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=in_calendar("reminded_at"), name="factor_reminder_is_in_the_calendar")
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.reminded_at:%Y-%m-%d}"


class OrganisationTemplate(models.Model):
    """What a customer or an environment starts with if it is created by this template, below its organisation.

    Changing it changes nothing that exists.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="templates")
    name = models.CharField(max_length=100)
    require_mfa = models.CharField(max_length=7, choices=MfaSetting, default=MfaSetting.INHERIT)
    require_mfa_locked = models.BooleanField(default=False, db_default=False)
    archival = models.CharField(max_length=7, choices=Archival, default=Archival.INHERIT)
    archive_after_days = models.PositiveSmallIntegerField(null=True)
    archival_locked = models.BooleanField(default=False, db_default=False)
    auto_invite_roles = ArrayField(models.CharField(max_length=24, choices=Role), default=list)
    changed_by = models.ForeignKey(  # who is responsible for its roles; None: nobody any more
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "name"], name="one_template_of_a_name"),
            models.CheckConstraint(condition=Q(require_mfa__in=MfaSetting.values), name="template_mfa_is_known"),
            models.CheckConstraint(
                condition=Q(require_mfa_locked=False) | Q(require_mfa=MfaSetting.ON), name="template_locks_only_on"
            ),
            models.CheckConstraint(
                condition=Q(archival=Archival.LIMIT, archive_after_days__range=(1, LONGEST_LIMIT_DAYS))
                | Q(archival__in=[Archival.INHERIT, Archival.KEEP], archive_after_days=None, archival_locked=False),
                name="template_days_go_with_a_limit",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TemplateMember(models.Model):
    """Roles that a person gets in each organisation that is created by the template."""

    template = models.ForeignKey(OrganisationTemplate, models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    roles = ArrayField(models.CharField(max_length=24, choices=Role))

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["template", "user"], name="one_line_of_a_person_in_a_template"),
        ]

    def __str__(self) -> str:
        return f"{self.user}"
