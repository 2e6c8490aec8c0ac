"""Query the warnings that pages show: late environments, a silent purge, an outdated proof, late mail."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Min, Window

from archival.evidence.ledger import environments_below
from archival.evidence.silence import is_outdated, is_silent
from archival.models import Proof
from environments.models import Organisation, OrganisationQuerySet
from web.models import Delivery

NAMED = 3  # how many late environments a warning names; the others are counted


@dataclass(frozen=True)
class Warnings:
    """The warnings of one page; false in a condition if there are none."""

    late: list[Proof]  # of the first environments by name
    count: int  # how many environments are late
    is_silent: bool = False
    is_paused: bool = False
    is_outdated: bool = False  # the last check of the proof is too old
    is_mail_late: bool = False  # a mail has waited for more than an hour

    def __bool__(self) -> bool:
        return bool(self.count or self.is_silent or self.is_outdated or self.is_mail_late)

    @property
    def more(self) -> int:
        return self.count - len(self.late)


def warnings_below(organisation: Organisation) -> Warnings:
    """Return the warnings about late environments at or below the organisation, by the last check; one query."""
    return Warnings(*late_proofs(environments_below(organisation)))


def warnings_of_all(*, now: datetime) -> Warnings:
    """Return all warnings of the installation, which super users see; four queries."""
    late = late_proofs(Organisation.objects.environments())
    checked_at = Proof.objects.aggregate(oldest=Min("checked_at"))["oldest"]
    return Warnings(
        *late,
        is_silent=is_silent(now=now),
        is_paused=not settings.PURGE_ENABLED,
        is_outdated=is_outdated(checked_at, now=now),
        is_mail_late=Delivery.objects.late(now).exists(),
    )


def late_proofs(environments: OrganisationQuerySet) -> tuple[list[Proof], int]:
    found = Proof.objects.filter(is_late=True, environment__in=environments.order_by().values("pk"))
    counted = found.annotate(count=Window(Count("pk"))).select_related("environment")
    late = list(counted.order_by("environment__name", "pk")[:NAMED])
    return [*late], late[0].count if late else 0
