"""Convert receipts to plain values for downloads; instants are ISO 8601 in UTC."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import Any

from archival.choices import COUNTS, RunPurpose
from archival.evidence.ledger import receipts_of
from archival.models import Erasure, PurgeRun, Receipt
from environments.models import Organisation

NO_MORE: tuple[int | None, Iterator[Receipt]] = (None, iter(()))
FIELDS = (
    *("run", "purpose", "state", "started_at", "finished_at", "environment", "environment_id", "days", "cutoff"),
    *(*COUNTS, "held", "guarded", "oldest_before", "oldest_after"),
)


def receipts_as_json(
    organisation: Organisation, *, since: datetime | None = None, until: datetime | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the receipts of the runs that began in this time (``RunQuerySet.begun_between``), the latest run first.

    A run of the purge that deleted nothing here yields one receipt of zeros with the organisation's name.
    """
    # Runs are read first: a run that has finished by then has all its receipts, so zeros are not yielded too early.
    asked = PurgeRun.objects.begun_between(since, until)
    runs = asked.order_by("-pk").iterator(chunk_size=2000)
    latest = list(islice(runs, 1))
    receipts = groupby(
        receipts_of(organisation).filter(run__in=asked).iterator(chunk_size=2000), key=attrgetter("run_id")
    )
    number, own = next(receipts, NO_MORE)
    for run in chain(latest, runs):
        while number is not None and number > run.pk:  # this run began meanwhile
            number, own = next(receipts, NO_MORE)
        if run.pk == number:
            yield from (receipt_as_json(run, receipt) for receipt in own)
            number, own = next(receipts, NO_MORE)
        elif run.purpose == RunPurpose.POLICY and run.finished_at and run.started_at >= organisation.created_at:
            yield receipt_as_json(run, Receipt(environment=organisation, environment_label=organisation.name))


def receipt_as_json(run: PurgeRun, receipt: Receipt) -> dict[str, Any]:
    """Return the receipt of a run in one environment, with the keys of ``FIELDS``."""
    return {
        "run": run.pk,
        "purpose": run.purpose,
        "state": run.state,
        "started_at": in_utc(run.started_at),
        "finished_at": in_utc(run.finished_at),
        "environment": receipt.environment_label,
        "environment_id": receipt.environment_id,
        "days": receipt.days,
        "cutoff": in_utc(receipt.cutoff),
        **receipt.counts,
        "held": receipt.held,
        "guarded": receipt.is_guarded,
        "oldest_before": in_utc(receipt.oldest_before),
        "oldest_after": in_utc(receipt.oldest_after),
    }


def erasure_as_json(erasure: Erasure) -> dict[str, Any]:
    """Return the receipt of an erasure, without the contact's name."""
    return {
        "erasure": str(erasure.uuid),
        "erased_at": in_utc(erasure.erased_at),
        "environment": erasure.environment_label,
        "environment_id": erasure.environment_id,
        "contact": str(erasure.contact_uuid),
        "by": erasure.erased_label,
        **erasure.counts,
    }


def in_utc(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None
