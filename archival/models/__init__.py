"""Models of retention: holds, changes, runs, receipts, deletions, exports, the journal, the outbox, the proof."""

from archival.models.changes import Announcement, PolicyChange
from archival.models.exports import EnvironmentExport, ExportPart
from archival.models.holds import Hold, HoldQuerySet
from archival.models.journal import JournalEntry
from archival.models.leases import Lease
from archival.models.on_request import Deletion, Erasure
from archival.models.outbox import BlobToDelete
from archival.models.proof import Proof, Silence
from archival.models.runs import Counts, Guard, PurgeRun, Receipt, RunQuerySet

__all__ = [
    "Announcement",
    "BlobToDelete",
    "Counts",
    "Deletion",
    "EnvironmentExport",
    "Erasure",
    "ExportPart",
    "Guard",
    "Hold",
    "HoldQuerySet",
    "JournalEntry",
    "Lease",
    "PolicyChange",
    "Proof",
    "PurgeRun",
    "Receipt",
    "RunQuerySet",
    "Silence",
]
