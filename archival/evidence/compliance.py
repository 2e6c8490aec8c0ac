"""Query the figures of the compliance page."""

from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Q, Sum
from django.db.models.functions import TruncDate

from archival.evidence.ledger import MONTH, environments_below, receipts_of
from archival.evidence.silence import is_outdated
from archival.models import Hold, Proof
from environments.choices import LONGEST_LIMIT_DAYS
from environments.models import Organisation


def figures_below(organisation: Organisation, *, now: datetime) -> dict[str, Any]:
    """Return the figures of the environments at or below the organisation; the number of queries is fixed."""
    below = environments_below(organisation).order_by()
    ids = below.values("pk")
    spans = {"90": (1, 90), "365": (91, 365), "730": (366, 730), "more": (731, LONGEST_LIMIT_DAYS)}
    counts = below.aggregate(
        total=Count("pk"),
        mfa=Count("pk", filter=Q(effective_require_mfa=True)),
        none=Count("pk", filter=Q(effective_archive_after_days__isnull=True)),
        **{f"d{name}": Count("pk", filter=Q(effective_archive_after_days__range=span)) for name, span in spans.items()},
    )
    proofs = Proof.objects.filter(environment__in=ids)
    late = proofs.filter(is_late=True).select_related("environment").order_by("environment__name")
    holds = Hold.objects.active(now).filter(environment__in=ids)
    held = holds.values("environment__name", "environment__slug")
    daily = (
        receipts_of(organisation)
        .order_by()
        .filter(run__started_at__gt=now - MONTH)
        .annotate(day=TruncDate("run__started_at"))
        .values("day")
        .annotate(messages=Sum("messages"))
        .order_by("day")
    )
    return {
        "counts": counts,
        "checked": proofs.count(),
        "is_outdated": is_outdated(proofs.aggregate(oldest=Min("checked_at"))["oldest"], now=now),
        "late_count": late.count(),
        "late": list(late[:50]),
        "held": list(held.annotate(number=Count("pk")).order_by("environment__name")[:50]),
        "hold_count": holds.count(),
        "daily": list(daily),
    }
