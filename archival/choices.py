"""Choices of retention: states, purposes of runs, reasons, and the kinds that are counted."""

from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _


class RunState(models.TextChoices):
    """The state of a run. Only a run that is done has looked in every environment."""

    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    # The process of the run died, or its deletion was stopped; what it committed is kept.
    INTERRUPTED = "interrupted", _("Interrupted")
    PAUSED = "paused", _("Paused")  # the kill switch was on
    WAITING = "waiting", _("Waiting")  # more than a day after the last run: deletes nothing until a person confirms


class RunPurpose(models.TextChoices):
    """Why a run deleted data. Only runs of the retention policy show that the purge works."""

    POLICY = "policy", _("Retention policy")
    DELETION = "deletion", _("Deletion of an organisation")
    REAPPLY = "reapply", _("Repeated after a restore")


# What a receipt counts, in the order in which it is shown: rows, and the bytes of attachments.
ROWS = ("conversations", "messages", "variables", "attachments", "contacts")
COUNTS = (*ROWS, "bytes")
COUNT_LABELS = {
    "conversations": _("Conversations"),
    "messages": _("Messages"),
    "variables": _("Variables"),
    "attachments": _("Attachments"),
    "contacts": _("Contacts"),
    "bytes": _("Bytes"),
}


class ChangeState(models.TextChoices):
    """The state of a change of retention."""

    PENDING = "pending", _("Pending")
    APPLIED = "applied", _("Applied")
    CANCELLED = "cancelled", _("Cancelled")
    REPLACED = "replaced", _("Replaced")  # by a later change of the same organisation
    REFUSED = "refused", _("Refused")  # no longer allowed when its time came


class DeletionState(models.TextChoices):
    """The state of the deletion of an organisation."""

    RUNNING = "running", _("Running")
    STOPPED = "stopped", _("Stopped")  # by a hold or a person; the organisation stays suspended
    REOPENED = "reopened", _("Reopened")  # stopped, and then abandoned
    DONE = "done", _("Done")


class StopReason(models.TextChoices):
    """Why a deletion stopped."""

    HELD = "held", _("A legal hold is active in this organisation. Release it first.")
    PARENT = "parent", _("There are organisations below this one. Delete or move them first.")
    PERSON = "person", _("Somebody stopped the deletion.")
    BACKUP = "backup", _("A backup was restored that was taken while the deletion ran.")
    EXPORT = "export", _("An export is being written. Wait until it is ready, or stop it.")


class ExportState(models.TextChoices):
    """The state of an export of an environment."""

    RUNNING = "running", _("Running")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")
    WITHDRAWN = "withdrawn", _("Deleted")  # before it expired
    EXPIRED = "expired", _("Expired")


class ExportEnd(models.TextChoices):
    """Why an export failed, or was deleted before it expired."""

    STORAGE = "storage", _("Storage gave an error again and again, or had no room.")
    GONE = "gone", _("The environment was deleted.")
    ERASURE = "erasure", _("A contact of the environment was erased, and the export could have their data.")
    PERSON = "person", _("Somebody deleted it.")
    REPLACED = "replaced", _("A newer export replaced it.")
    BACKUP = "backup", _("A backup was restored.")


class DeletionNews(StrEnum):
    """The events of a deletion that administrators get a mail about."""

    BEGUN = "begun"
    STOPPED = "stopped"
    DONE = "done"


class JournalKind(models.TextChoices):
    """The kinds of entries in the journal."""

    RUN = "run"  # a run of the purge that is done
    BATCH = "batch"  # one batch of any run
    ERASURE = "erasure"
    POLICY = "policy"
    MOVE = "move"
    CHANGE = "change"  # the end of a pending change
    HOLD = "hold"
    RELEASE = "release"
    DELETION = "deletion"  # of an organisation


class ProofState(models.TextChoices):
    """The judgement of the proof on the oldest item of a kind."""

    KEPT = "kept", _("Kept")  # the environment has no limit
    ON_TIME = "ok", _("On time")
    DUE = "due", _("Due")  # past its limit, but the limit or the item is less than an hour old
    LATE = "late", _("Late")
    HELD = "held", _("Held")
    GUARDED = "guarded", _("Needs confirmation")  # late, because a run stopped at its maximum and nobody has confirmed
    PAUSED = "paused", _("Paused")  # late, because the purge is switched off
    UNREADABLE = "unreadable", _("Unreadable")


# The states that count as late, the most urgent first.
WORST_FIRST = (ProofState.UNREADABLE, ProofState.LATE, ProofState.GUARDED, ProofState.PAUSED)

ITEM_KINDS = {
    "messages": _("Messages"),
    "variables": _("Variables"),
    "attachments": _("Attachments"),
    "conversations": _("Empty conversations"),
    "contacts": _("Contacts"),
    "files": _("Files in storage"),
    "changes": _("Overdue retention change"),
}
