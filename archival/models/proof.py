"""Models of the findings of the proof, and of times without a good run of the purge."""

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Q

from archival.choices import ITEM_KINDS, WORST_FIRST, ProofState
from environments.models import Organisation
from web.clock import in_calendar


class Proof(models.Model):
    """The latest findings of the proof in one environment."""

    environment = models.OneToOneField(Organisation, models.CASCADE, related_name="proof")
    checked_at = models.DateTimeField()
    is_late = models.BooleanField()
    # One object a finding: kind, state, oldest (ISO 8601, UTC, or null), late_by_seconds.
    findings = models.JSONField(default=list)

    class Meta:
        constraints = [models.CheckConstraint(condition=in_calendar("checked_at"), name="proof_is_in_the_calendar")]
        indexes = [models.Index("environment", name="proof_late", condition=Q(is_late=True))]

    @property
    def worst(self) -> ProofState:
        """The most urgent state among its findings."""
        found = {finding["state"] for finding in self.findings}
        return next((state for state in WORST_FIRST if state in found), ProofState.ON_TIME)

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The findings as a page shows them: labels, instants, and whether a hold covers all items of a kind."""
        held = {finding["kind"] for finding in self.findings if finding["state"] == ProofState.HELD}
        return [
            {
                "kind": ITEM_KINDS[finding["kind"]],
                "state": finding["state"],
                "label": ProofState(finding["state"]).label,
                "oldest": datetime.fromisoformat(finding["oldest"]) if finding["oldest"] else None,
                "is_of_files": finding["kind"] == "files",
                "is_all_held": not finding["oldest"] and finding["kind"] in held,
                "late_since": self.checked_at - timedelta(seconds=late_by) if late_by else None,
            }
            for finding in self.findings
            for late_by in [finding["late_by_seconds"]]
        ]


class Silence(models.Model):
    """A time without a good run of the purge, about which super users got a mail."""

    since = models.DateTimeField(null=True)  # the start of the last good run; None: there never was one
    told_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("since", "told_at", "ended_at"), name="silence_is_in_the_calendar"
            ),
            models.UniqueConstraint(fields=["ended_at"], nulls_distinct=False, name="one_silence_at_a_time"),
        ]

    def __str__(self) -> str:
        return f"{self.told_at:%Y-%m-%d %H:%M}"
