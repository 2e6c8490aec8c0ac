"""Models of runs of the purge, their receipts, and guards."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from archival.choices import COUNTS, ROWS, RunPurpose, RunState
from environments.models import Organisation
from web.clock import in_calendar, null_exactly_while


class Counts(models.Model):
    """Counts of what was deleted. ``bytes`` sums the files of attachments, a shared file once for each attachment."""

    conversations = models.PositiveBigIntegerField(default=0)
    messages = models.PositiveBigIntegerField(default=0)
    variables = models.PositiveBigIntegerField(default=0)
    attachments = models.PositiveBigIntegerField(default=0)
    contacts = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)

    class Meta:
        abstract = True

    @property
    def rows(self) -> int:
        return sum(getattr(self, kind) for kind in ROWS)

    @property
    def counts(self) -> dict[str, int]:
        """The counts by kind, in the order of ``COUNTS``."""
        return {kind: getattr(self, kind) for kind in COUNTS}


class RunQuerySet(models.QuerySet["PurgeRun"]):
    def of_the_purge(self) -> Self:
        """Return the runs of the retention policy, without deletions on request and repeats after a restore."""
        return self.filter(purpose=RunPurpose.POLICY)

    def ended_well(self) -> Self:
        """Return the runs of the purge that are done, the latest first."""
        return self.of_the_purge().filter(state=RunState.DONE).order_by("-started_at")

    def begun_between(self, since: datetime | None, until: datetime | None) -> Self:
        """Return the runs that began at ``since`` or later and before ``until``; ``None`` is no bound."""
        found = self if since is None else self.filter(started_at__gte=since)
        return found if until is None else found.filter(started_at__lt=until)


class PurgeRun(Counts):
    """One run of the purge over all environments; it is stored also if it deleted nothing."""

    purpose = models.CharField(max_length=8, choices=RunPurpose, default=RunPurpose.POLICY)
    state = models.CharField(max_length=12, choices=RunState, default=RunState.RUNNING)
    as_of = models.DateTimeField()  # the instant from which limits are counted back to cutoffs
    started_at = models.DateTimeField(db_default=Now(), db_index=True)
    last_batch_at = models.DateTimeField(db_default=Now())  # an old one shows that its process died
    finished_at = models.DateTimeField(null=True)
    batch_count = models.PositiveIntegerField(default=0)
    held = models.PositiveBigIntegerField(default=0)  # conversations past the cutoff that a hold keeps
    alarm = models.TextField(blank=True)  # what a person must look at
    error = models.TextField(blank=True)  # the type of the error, never content

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("as_of", "started_at", "last_batch_at", "finished_at"),
                name="run_is_in_the_calendar",
            ),
            models.CheckConstraint(condition=Q(state__in=RunState.values), name="run_state_is_known"),
            models.CheckConstraint(condition=Q(purpose__in=RunPurpose.values), name="run_purpose_is_known"),
            models.CheckConstraint(
                condition=null_exactly_while("finished_at", state=RunState.RUNNING),
                name="run_is_running_or_finished",
            ),
        ]
        indexes = [
            models.Index("id", name="run_running", condition=Q(state=RunState.RUNNING)),
            models.Index("started_at", name="run_good", condition=Q(state=RunState.DONE, purpose=RunPurpose.POLICY)),
        ]

    objects = RunQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.pk}"


class Receipt(Counts):
    """Counts of what one run deleted in one environment, added up in the transactions that deleted it."""

    run = models.ForeignKey(PurgeRun, models.PROTECT, related_name="receipts", db_index=False)
    # No constraint, since a receipt outlives its environment.
    environment = models.ForeignKey(
        Organisation, models.DO_NOTHING, related_name="receipts", db_constraint=False, db_index=False
    )
    environment_label = models.CharField(max_length=255)  # its name at the time
    days = models.PositiveSmallIntegerField()
    cutoff = models.DateTimeField()
    held = models.PositiveBigIntegerField(default=0)  # conversations past the cutoff that a hold keeps
    is_guarded = models.BooleanField(default=False)  # the run stopped here at its maximum
    oldest_before = models.DateTimeField(null=True)  # the bound of the oldest item that the run found
    oldest_after = models.DateTimeField(null=True)  # the same when the run ended; None if nothing is left

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("cutoff", "oldest_before", "oldest_after"), name="receipt_is_in_the_calendar"
            ),
            models.UniqueConstraint("run", "environment", name="one_receipt_per_run_and_environment"),
        ]
        indexes = [models.Index(fields=["environment", "-run"], name="receipt_environment")]

    def __str__(self) -> str:
        return f"{self.run_id}/{self.environment_label}"


class Guard(models.Model):
    """Stops the purge in an environment where a run reached its maximum, until somebody confirms it.

    A guard without a run was confirmed in advance.
    """

    environment = models.ForeignKey(Organisation, models.CASCADE, related_name="guards", db_index=False)
    run = models.ForeignKey(PurgeRun, models.PROTECT, null=True, related_name="+", db_index=False)
    tripped_at = models.DateTimeField(db_default=Now())
    confirmed_at = models.DateTimeField(null=True)
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("tripped_at", "confirmed_at"), name="guard_is_in_the_calendar"
            ),
            models.UniqueConstraint(
                fields=["environment"], condition=Q(confirmed_at=None), name="one_open_guard_per_environment"
            ),
        ]
