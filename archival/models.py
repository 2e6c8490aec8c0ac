"""How long data lives: what stops a purge, what a purge did, and which files are still to go."""

import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from archival.choices import (
    ITEM_KINDS,
    WORST_FIRST,
    ChangeState,
    DeletionState,
    JournalKind,
    ProofState,
    RunPurpose,
    RunState,
    StopReason,
)
from conversations.models import Contact, Conversation
from environments.choices import Archival
from environments.models import Organisation


class HoldQuerySet(models.QuerySet["Hold"]):
    def active(self, now: datetime) -> Self:
        """Keep holds that were not released and whose date has not come."""
        return self.filter(released_at=None).filter(Q(until=None) | Q(until__gt=now))


class Hold(models.Model):
    """A legal hold: nothing it covers is purged, erased or deleted while it is active.

    It covers one conversation, or one contact with all its conversations, or else the whole environment.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    environment = models.ForeignKey(Organisation, models.PROTECT, related_name="holds", db_index=False)
    # No constraints: what a released hold covered may be purged, and the hold stays as history. It keeps no label
    # either, since a contact's name or number must not outlive the contact.
    contact = models.ForeignKey(
        Contact, models.DO_NOTHING, null=True, related_name="holds", db_constraint=False, db_index=False
    )
    conversation = models.ForeignKey(
        Conversation, models.DO_NOTHING, null=True, related_name="holds", db_constraint=False, db_index=False
    )
    reason = models.CharField(_("reason"), max_length=500)
    placed_at = models.DateTimeField(default=timezone.now)
    placed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    until = models.DateTimeField(_("until"), null=True)  # None: until somebody releases it
    released_at = models.DateTimeField(null=True)
    released_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    objects = HoldQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(contact=None) | Q(conversation=None), name="hold_covers_a_contact_or_a_conversation"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="hold_has_a_reason"),
            models.CheckConstraint(
                condition=Q(until=None) | Q(until__gt=F("placed_at")), name="hold_ends_after_it_was_placed"
            ),
        ]
        indexes = [models.Index("environment", name="hold_open", condition=Q(released_at=None))]

    def __str__(self) -> str:
        return self.reason

    def is_active(self, now: datetime) -> bool:
        return self.released_at is None and (self.until is None or self.until > now)


class Counts(models.Model):
    """How much was deleted. Bytes are those in storage of the attachments' files, a shared file once an attachment."""

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
        return self.conversations + self.messages + self.variables + self.attachments + self.contacts


class RunQuerySet(models.QuerySet["PurgeRun"]):
    def of_the_purge(self) -> Self:
        """Keep runs by policy, as beat starts them; not deletions on request, nor what follows a restore."""
        return self.filter(purpose=RunPurpose.POLICY)

    def good(self) -> Self:
        """Keep runs of the purge that ended well, the latest first."""
        return self.of_the_purge().filter(state=RunState.DONE).order_by("-started_at")


class PurgeRun(Counts):
    """One run of the purge over all environments: itself the receipt of a run that found nothing."""

    purpose = models.CharField(max_length=8, choices=RunPurpose, default=RunPurpose.POLICY)
    state = models.CharField(max_length=12, choices=RunState, default=RunState.RUNNING)
    as_of = models.DateTimeField()  # cutoffs are counted back from this instant
    started_at = models.DateTimeField(default=timezone.now, db_index=True)
    last_batch_at = models.DateTimeField(default=timezone.now)  # a sign of life
    finished_at = models.DateTimeField(null=True)
    batch_count = models.PositiveIntegerField(default=0)
    held = models.PositiveBigIntegerField(default=0)  # conversations due but held
    alarm = models.TextField(blank=True)  # what somebody must look at
    error = models.TextField(blank=True)  # the kind of failure, never content

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=RunState.values), name="run_state_is_known"),
            models.CheckConstraint(condition=Q(purpose__in=RunPurpose.values), name="run_purpose_is_known"),
            models.CheckConstraint(
                condition=Q(state=RunState.RUNNING, finished_at=None)
                | Q(~Q(state=RunState.RUNNING), finished_at__isnull=False),
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
    """What one run deleted in one environment, counted in the transactions that deleted it."""

    run = models.ForeignKey(PurgeRun, models.PROTECT, related_name="receipts", db_index=False)
    # No constraint: a receipt outlives its environment.
    environment = models.ForeignKey(
        Organisation, models.DO_NOTHING, related_name="receipts", db_constraint=False, db_index=False
    )
    environment_label = models.CharField(max_length=255)  # its name at the time
    days = models.PositiveSmallIntegerField()
    cutoff = models.DateTimeField()
    held = models.PositiveBigIntegerField(default=0)  # conversations due but held
    is_guarded = models.BooleanField(default=False)  # the run stopped here at its maximum
    oldest_before = models.DateTimeField(null=True)  # the bound of the oldest item that the run found
    oldest_after = models.DateTimeField(null=True)  # the same when the run ended; None: nothing is left

    class Meta:
        constraints = [models.UniqueConstraint("run", "environment", name="one_receipt_per_run_and_environment")]
        indexes = [models.Index(fields=["environment", "-run"], name="receipt_environment")]

    def __str__(self) -> str:
        return f"{self.run_id}/{self.environment_label}"


class Guard(models.Model):
    """A run reached its maximum for an environment: nothing more goes there until somebody confirms.

    One without a run was confirmed before any run got there.
    """

    environment = models.ForeignKey(Organisation, models.CASCADE, related_name="guards", db_index=False)
    run = models.ForeignKey(PurgeRun, models.PROTECT, null=True, related_name="+", db_index=False)
    tripped_at = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField(null=True)
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["environment"], condition=Q(confirmed_at=None), name="one_open_guard_per_environment"
            )
        ]


class BlobToDelete(models.Model):
    """The outbox: a file whose attachment was deleted in the same transaction as this row came.

    A blob may be here several times, once for each transaction that took an attachment from it, and nothing makes
    one transaction wait for another. The worker drops only rows that it saw before it looked for references, so the
    row of whoever takes the last reference away is always handled after that reference is gone.
    """

    blob_id = models.BigIntegerField()  # plain: the blob's row goes before its bytes do
    key = models.CharField(max_length=120)
    environment_id = models.BigIntegerField()
    size = models.BigIntegerField()
    queued_at = models.DateTimeField(default=timezone.now)
    try_count = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now, db_index=True)
    last_error = models.CharField(max_length=255, blank=True)

    class Meta:
        indexes = [models.Index("environment_id", name="outbox_environment")]

    def __str__(self) -> str:
        return self.key


class PolicyChange(models.Model):
    """One change of how long data is kept: cooling off, scheduled, and history, all in the same row.

    While it is pending nothing has changed for readers or for the purge.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="policy_changes")
    archival = models.CharField(max_length=7, choices=Archival)
    days = models.PositiveSmallIntegerField(null=True)
    locked = models.BooleanField(null=True)  # None: the lock stays as it is
    # A move below another parent, where it shortens something; the three above are then as they were.
    new_parent = models.ForeignKey(Organisation, models.CASCADE, null=True, related_name="+", db_index=False)
    before = models.JSONField()  # archival, archive_after_days, locked, effective_days
    preview = models.JSONField(default=dict)  # counts of what it would delete, as shown at ``counted_at``
    announced = models.JSONField(default=dict)  # the days that it means for each environment it shortens, by id
    counted_at = models.DateTimeField(default=timezone.now)  # when it was asked for, or announced again with more
    requested_at = models.DateTimeField(default=timezone.now)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    requested_label = models.CharField(max_length=320)
    acts_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=ChangeState, default=ChangeState.PENDING)
    ended_at = models.DateTimeField(null=True)
    ended_label = models.CharField(max_length=320, blank=True)
    reason = models.CharField(max_length=255, blank=True)  # why it was refused

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=ChangeState.values), name="change_state_is_known"),
            models.CheckConstraint(
                condition=Q(state=ChangeState.PENDING, ended_at=None)
                | Q(~Q(state=ChangeState.PENDING), ended_at__isnull=False),
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
    def is_pending(self) -> bool:
        return self.state == ChangeState.PENDING

    @property
    def deletes(self) -> bool:
        """Whether anything was to go by it when it was counted last."""
        return any(count for kind, count in self.preview.items() if kind != "bytes")

    @property
    def is_scheduled(self) -> bool:
        """Whether it waits for a chosen date; else for the time to reconsider."""
        return not self.deletes or self.acts_at > self.counted_at + timedelta(hours=settings.COOLING_OFF_HOURS)

    @property
    def is_announced_again(self) -> bool:
        """Whether it waits anew, because more would go by it than was announced."""
        return self.counted_at > self.requested_at

    @property
    def target(self) -> str:
        """What it changes to, in words."""
        if self.new_parent is not None:
            return _("a place below %(name)s") % {"name": self.new_parent}
        if self.archival == Archival.LIMIT:
            return ngettext("%(days)s day", "%(days)s days", self.days or 0) % {"days": self.days}
        return str(Archival(self.archival).label)


class Proof(models.Model):
    """What the check that shares no code with the purge found last in one environment."""

    environment = models.OneToOneField(Organisation, models.CASCADE, related_name="proof")
    checked_at = models.DateTimeField()
    is_late = models.BooleanField()
    # One object a finding: kind, state, oldest (ISO 8601, UTC, or null), late_by_seconds.
    findings = models.JSONField(default=list)

    class Meta:
        indexes = [models.Index("environment", name="proof_late", condition=Q(is_late=True))]

    @property
    def worst(self) -> ProofState:
        """What is worst of its findings."""
        found = {finding["state"] for finding in self.findings}
        return next((state for state in WORST_FIRST if state in found), ProofState.ON_TIME)

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The findings for a page: kind and state in words, instants as such."""
        return [
            {
                "kind": ITEM_KINDS[finding["kind"]],
                "state": finding["state"],
                "label": ProofState(finding["state"]).label,
                "oldest": datetime.fromisoformat(finding["oldest"]) if finding["oldest"] else None,
                "late_since": self.checked_at - timedelta(seconds=late_by) if late_by else None,
            }
            for finding in self.findings
            for late_by in [finding["late_by_seconds"]]
        ]


class Silence(models.Model):
    """A time without a good run of the purge that somebody was told of."""

    since = models.DateTimeField(null=True)  # the start of the last good run; None: there never was one
    told_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ended_at"], nulls_distinct=False, name="one_silence_at_a_time")]

    def __str__(self) -> str:
        return f"{self.told_at:%Y-%m-%d %H:%M}"


class Erasure(Counts):
    """One contact that was erased on request, everywhere in its environment: the receipt, without who it was."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    environment = models.ForeignKey(Organisation, models.DO_NOTHING, related_name="erasures", db_constraint=False)
    environment_label = models.CharField(max_length=255)
    contact_uuid = models.UUIDField()  # says who only where a backup still has the contact
    erased_at = models.DateTimeField()
    erased_label = models.CharField(max_length=320)  # who did it

    def __str__(self) -> str:
        return str(self.uuid)


class Deletion(models.Model):
    """One organisation that somebody deletes: whoever finds it running carries it on. It outlives the organisation."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(Organisation, models.DO_NOTHING, related_name="deletions", db_constraint=False)
    organisation_label = models.CharField(max_length=255)
    parent = models.ForeignKey(Organisation, models.SET_NULL, null=True, related_name="+")  # who may look afterwards
    counted = models.JSONField()  # what it would delete, by the kinds of a receipt
    was_suspended = models.BooleanField()  # by somebody else, before it began
    requested_at = models.DateTimeField()
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    requested_label = models.CharField(max_length=320)
    run = models.OneToOneField(PurgeRun, models.PROTECT, related_name="deletion")  # its receipt
    state = models.CharField(max_length=8, choices=DeletionState, default=DeletionState.RUNNING)
    reason = models.CharField(max_length=6, choices=StopReason, blank=True)
    ended_at = models.DateTimeField(null=True)
    ended_label = models.CharField(max_length=320, blank=True)  # who stopped it or opened the organisation again

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=DeletionState.values), name="deletion_state_is_known"),
            models.CheckConstraint(
                condition=Q(state=DeletionState.RUNNING, ended_at=None)
                | Q(~Q(state=DeletionState.RUNNING), ended_at__isnull=False),
                name="deletion_is_running_or_ended",
            ),
            models.UniqueConstraint(
                fields=["organisation"],
                condition=Q(state__in=[DeletionState.RUNNING, DeletionState.STOPPED]),
                name="one_open_deletion_per_organisation",
            ),
        ]

    def __str__(self) -> str:
        return self.organisation_label

    @property
    def row_count(self) -> int:
        """How many rows it was to delete."""
        return sum(count for kind, count in self.counted.items() if kind != "bytes")


class JournalEntry(models.Model):
    """That the journal tells of something. What it tells is here until it is written, then only in the journal."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    sequence = models.BigIntegerField(null=True, unique=True)  # None: waits to be written
    at = models.DateTimeField()
    kind = models.CharField(max_length=64, choices=JournalKind)  # a later release may know more, and they are kept
    payload = models.JSONField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(sequence__isnull=False) | Q(payload__isnull=False), name="entry_is_written_or_tells"
            )
        ]
        indexes = [models.Index("id", name="journal_waiting", condition=Q(sequence=None))]

    def __str__(self) -> str:
        return f"{self.kind} {self.uuid}"
