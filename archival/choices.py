"""Constants of retention: states, reasons for deletions, and the kinds that are counted."""

from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _


class RunState(models.TextChoices):
    """The state of a run. Only one that is done has looked everywhere."""

    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    # Its process died, or a deletion was stopped; what it committed is kept.
    INTERRUPTED = "interrupted", _("Interrupted")
    PAUSED = "paused", _("Paused")  # the kill switch was on
    WAITING = "waiting", _("Waiting")  # too long after the last run: deletes nothing until a person confirms


class RunPurpose(models.TextChoices):
    """Why data was deleted. Only runs by policy show that the purge is alive."""

    POLICY = "policy", _("By policy")
    DELETION = "deletion", _("Deleting an organisation")
    REAPPLY = "reapply", _("Deleting again after a backup was put back")


# What a receipt counts, in the order in which it is shown: rows, and the bytes of attachments.
ROWS = ("conversations", "messages", "variables", "attachments", "contacts")
COUNTS = (*ROWS, "bytes")


class ChangeState(models.TextChoices):
    """The state of a change of retention."""

    PENDING = "pending", _("Pending")
    APPLIED = "applied", _("Applied")
    CANCELLED = "cancelled", _("Cancelled")
    REPLACED = "replaced", _("Replaced")  # by a later change of the same setting
    REFUSED = "refused", _("Refused")  # no longer allowed when its time came


class DeletionState(models.TextChoices):
    """The state of the deletion of an organisation."""

    RUNNING = "running", _("Running")
    STOPPED = "stopped", _("Stopped")  # by a hold or a person; the organisation stays suspended with what is left
    REOPENED = "reopened", _("Opened again")  # stopped, and then abandoned
    DONE = "done", _("Done")


class StopReason(models.TextChoices):
    """Why a deletion stopped."""

    HELD = "held", _("A legal hold is active here: nothing more is deleted.")
    PARENT = "parent", _("Something stands below this organisation. Delete or move that first.")
    PERSON = "person", _("Somebody stopped it.")
    BACKUP = "backup", _("A backup was put back that does not know what became of it.")


class DeletionNews(StrEnum):
    """What administrators are mailed about the deletion of an organisation."""

    BEGUN = "begun"
    STOPPED = "stopped"
    DONE = "done"


class JournalKind(models.TextChoices):
    """The kinds of entries in the journal."""

    RUN = "run"  # a run that looked everywhere
    BATCH = "batch"  # of a run that has not looked everywhere yet
    ERASURE = "erasure"
    POLICY = "policy"
    MOVE = "move"
    CHANGE = "change"  # a pending change ended
    HOLD = "hold"
    RELEASE = "release"
    DELETION = "deletion"  # of an organisation


class ProofState(models.TextChoices):
    """How the proof judges the oldest item of a kind."""

    KEPT = "kept", _("Kept")  # there is no limit
    ON_TIME = "ok", _("On time")
    DUE = "due", _("Due")  # past its limit, but the limit or the item is less than an hour old
    LATE = "late", _("Late")
    HELD = "held", _("Held")
    GUARDED = "guarded", _("Needs confirmation")  # late, because a run stopped at its maximum and nobody confirmed
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
