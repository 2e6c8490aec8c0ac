"""Whom a requirement would hit that does not hold yet: the environments that it reaches, and their people."""

from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Concat

from accounts.models import User
from environments import roster
from environments.choices import ScheduleState
from environments.models import Membership, MfaChange, Organisation, OrganisationQuerySet
from environments.policies import reached_by


def requiring_if_on(organisation: Organisation, *, locked: bool) -> OrganisationQuerySet:
    """Return the live environments that would require it if the organisation said On: those that do so now, too."""
    found = Organisation.objects.live().environments().below(organisation)
    if locked:
        return found
    decided_above = Q(require_mfa_source=None) | Q(require_mfa_source__path__lte=organisation.path)
    return found.filter(Q(effective_require_mfa=True) | decided_above)


def newly_requiring(organisation: Organisation, *, locked: bool) -> OrganisationQuerySet:
    """Return the live environments that do not require it now and would if the organisation said On."""
    return requiring_if_on(organisation, locked=locked).filter(effective_require_mfa=False)


def people_reaching(environments: OrganisationQuerySet, *, around: Organisation) -> QuerySet[User]:
    """Return everybody who reaches one of these environments below ``around``, with how he logs in."""
    places = Organisation.objects.above(around).order_by() | Organisation.objects.below(around).order_by()
    start = OuterRef("organisation__path")
    reached = environments.order_by().filter(path__gte=start, path__lt=Concat(start, Value("~")))
    return roster.people_with(Membership.objects.live().filter(Exists(reached), organisation__in=places))


def people_hit(change: MfaChange) -> QuerySet[User]:
    """Return everybody who will have to set up a factor because of the change: none yet, and not by SSO alone."""
    environments = newly_requiring(change.organisation, locked=change.locked)
    return roster.without_factor(people_reaching(environments, around=change.organisation))


def _pending() -> QuerySet[Any]:
    """Return what is scheduled, with ``start`` and ``end`` of the paths below its organisation."""
    return MfaChange.objects.filter(state=ScheduleState.PENDING).alias(
        start=F("organisation__path"), end=Concat("organisation__path", Value("~"))
    )


def about_to_require(user: User) -> OrganisationQuerySet:
    """Return the environments that ``user`` reaches and that will newly require it, the soonest first.

    Each has ``requires_from``, the instant (UTC). One query.
    """
    decided_at = Coalesce(OuterRef("require_mfa_source__path"), Value(""))
    change = _pending().filter(Q(locked=True) | Q(organisation__path__gte=decided_at))
    change = change.filter(start__lte=OuterRef("path"), end__gt=OuterRef("path")).order_by("acts_at")
    found = Organisation.objects.live().environments().filter(reached_by(user), effective_require_mfa=False)
    found = found.annotate(requires_from=Subquery(change.values("acts_at")[:1]))
    return found.filter(requires_from__isnull=False).order_by("requires_from", "name", "pk")


def next_requirement(user: User) -> MfaChange | None:
    """Return the soonest scheduled change that will newly require it of ``user``, or None.

    One query that begins with what is scheduled, so that it costs next to nothing while nothing is.
    """
    above = Q(require_mfa_source=None) | Q(require_mfa_source__path__lte=OuterRef("organisation__path"))
    hit = Organisation.objects.live().environments().filter(reached_by(user), effective_require_mfa=False)
    hit = hit.order_by().filter(path__gte=OuterRef("start"), path__lt=OuterRef("end"))
    return _pending().filter(Exists(hit.filter(above)) | Q(Exists(hit), locked=True)).order_by("acts_at", "pk").first()
