"""Query the figures of the compliance page."""

from datetime import datetime
from typing import Any

from django.db.models import Count, Min, OuterRef, Q, Sum
from django.db.models.functions import Coalesce, TruncDate

from archival.evidence.ledger import MONTH, environments_below, receipts_of
from archival.evidence.silence import is_outdated
from archival.models import Hold
from environments.choices import LONGEST_LIMIT_DAYS
from environments.models import Organisation
from web.paging import CountOf

MOST_NAMED = 50  # of the late environments, and of those with holds


def figures_below(organisation: Organisation, *, now: datetime) -> dict[str, Any]:
    """Return the figures of the environments at or below the organisation; three queries."""
    below = environments_below(organisation).order_by()
    spans = {"90": (1, 90), "365": (91, 365), "730": (366, 730), "more": (731, LONGEST_LIMIT_DAYS)}
    counts = below.aggregate(
        total=Count("pk"),
        mfa=Count("pk", filter=Q(effective_require_mfa=True)),
        none=Count("pk", filter=Q(effective_archive_after_days__isnull=True)),
        checked=Count("proof"),
        late=Count("proof", filter=Q(proof__is_late=True)),
        oldest=Min("proof__checked_at"),
        **{f"d{name}": Count("pk", filter=Q(effective_archive_after_days__range=span)) for name, span in spans.items()},
    )
    holds = Hold.objects.active(now)
    named = list(
        below.select_related("proof")
        .annotate(
            hold_count=CountOf(holds.filter(environment=OuterRef("pk")).values("pk")),
            count_of_holds=CountOf(holds.filter(environment__in=below.values("pk")).values("pk")),
        )
        .filter(Q(proof__is_late=True) | Q(hold_count__gt=0))
        .order_by(Coalesce("proof__is_late", False).desc(), "name", "pk")[: 2 * MOST_NAMED]
    )
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
        "checked": counts["checked"],
        "is_outdated": is_outdated(counts["oldest"], now=now),
        "late_count": counts["late"],
        "late": [each.proof for each in named if hasattr(each, "proof") and each.proof.is_late][:MOST_NAMED],
        "held": [each for each in named if each.hold_count][:MOST_NAMED],
        "hold_count": named[0].count_of_holds if named else 0,
        "daily": list(daily),
    }
