"""Metrics for monitoring, from the stored proof, the runs and the outbox; they name no environment."""

from collections.abc import Iterator
from datetime import datetime
from math import inf

from django.conf import settings
from django.db import connection
from django.db.models import Count, Max, Min
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from archival.evidence.silence import last_good_run
from archival.models import BlobToDelete, Guard, JournalEntry, Proof, PurgeRun
from audit.sealing import oldest_unsealed_at
from web.clock import MOST_APART, database_now, is_ahead
from web.metrics import Deliveries, Processes

_FINDINGS = """
SELECT f->>'kind', f->>'state', count(DISTINCT p.environment_id), max((f->>'late_by_seconds')::bigint)
FROM archival_proof p CROSS JOIN LATERAL jsonb_array_elements(p.findings) f GROUP BY 1, 2 ORDER BY 1, 2
"""


class RetentionCollector(Collector):
    """Reads the metrics from the database when Prometheus scrapes them; ten queries, however many environments.

    Labels are only kinds and states, at most 49; the compliance page names the late environments.
    """

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics. An instant is in seconds since 1970, or 0 if it is missing or in the future."""
        now = database_now()
        yield from finding_gauges()
        proofs = Proof.objects.aggregate(checked=Min("checked_at"), latest=Max("checked_at"))
        checked = 0 if is_ahead(proofs["latest"], now=now) else seconds(proofs["checked"])
        late = Proof.objects.filter(is_late=True).count()
        yield gauge("retention_late", "Environments with data more than an hour past its limit", late)
        yield gauge("retention_checked_timestamp_seconds", "Oldest check of the proof", checked)
        done = last_good_run(now=now)
        at = seconds(done.started_at if done else None)
        yield gauge("purge_last_good_run_timestamp_seconds", "Start of the last run that ended well", at)
        yield gauge("purge_enabled", "0 while the kill switch is on", int(settings.PURGE_ENABLED))
        guarded = Guard.objects.filter(confirmed_at=None).count()
        yield gauge("purge_guarded", "Environments where a run stopped at its maximum", guarded)
        yield from outbox_gauges(now=now)
        ahead = PurgeRun.objects.filter(started_at__gt=now + MOST_APART).count()
        yield gauge("purge_runs_in_the_future", "Runs that a wrong clock dated after the present", ahead)
        waiting = JournalEntry.objects.filter(sequence=None).count()
        yield gauge("journal_waiting", "Entries that are not written to the journal yet", waiting)
        unsealed = age_of(oldest_unsealed_at(), now=now)
        yield gauge("audit_oldest_unsealed_seconds", "How long the oldest event without a seal has waited", unsealed)


def finding_gauges() -> Iterator[GaugeMetricFamily]:
    """Yield the number of environments by kind and state, and the worst lateness by kind."""
    environments = GaugeMetricFamily(
        "studio_retention_environments",
        "Environments by the state of their oldest item",
        labels=["kind", "state"],
    )
    lateness = GaugeMetricFamily(
        "studio_retention_late_seconds",
        "How late the latest item is, an hour after its limit",
        labels=["kind"],
    )
    worst: dict[str, int] = {}
    with connection.cursor() as cursor:
        cursor.execute(_FINDINGS)
        for kind, state, count, late_by in cursor.fetchall():
            environments.add_metric([kind, state], count)
            worst[kind] = max(worst.get(kind, 0), late_by)
    for kind, late_by in sorted(worst.items()):
        lateness.add_metric([kind], late_by)
    yield environments
    yield lateness


def outbox_gauges(*, now: datetime) -> Iterator[GaugeMetricFamily]:
    found = BlobToDelete.objects.aggregate(oldest=Min("queued_at"), count=Count("key", distinct=True))
    oldest = found["oldest"]
    yield gauge("blobs_waiting", "Files whose row is deleted and whose bytes are not deleted yet", found["count"])
    age = age_of(oldest, now=now)
    yield gauge("blobs_oldest_waiting_seconds", "How long the oldest of these files has waited", age)


def age_of(at: datetime | None, *, now: datetime) -> float:
    """Return the age in seconds; 0 for none, infinite for an instant in the future."""
    if is_ahead(at, now=now):
        return inf  # a wrong clock must not silence the alarm
    return max(0, (now - at).total_seconds()) if at else 0


def gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"studio_{name}", help_text, value=value)


def seconds(at: datetime | None) -> float:
    return at.timestamp() if at else 0


registry = CollectorRegistry()
registry.register(RetentionCollector())
registry.register(Processes())
registry.register(Deliveries())


def exposition() -> bytes:
    """Return the metrics in Prometheus' text format."""
    return generate_latest(registry)
