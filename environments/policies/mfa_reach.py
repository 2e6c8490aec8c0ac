"""Whom a requirement would hit that does not hold yet: the environments that it reaches, and their people."""

from datetime import datetime

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Concat
from django.utils import timezone

from accounts.models import User
from environments import roster
from environments.models import Membership, MfaChange, Organisation, OrganisationQuerySet
from environments.policies.resolve import reached_by
from environments.policies.scheduled import pending_changes


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


def about_to_require(user: User) -> OrganisationQuerySet:
    """Return the environments that ``user`` reaches and that will newly require it, the soonest first.

    Each has ``requires_from``, the instant (UTC). One query.
    """
    pending = pending_changes(MfaChange).order_by("acts_at")
    decided_at = Coalesce(OuterRef("require_mfa_source__path"), Value(""))
    change = pending.alias(end=Concat("organisation__path", Value("~"))).filter(
        Q(locked=True) | Q(organisation__path__gte=decided_at),
        organisation__path__lte=OuterRef("path"),
        end__gt=OuterRef("path"),
    )
    found = Organisation.objects.live().environments().filter(reached_by(user), effective_require_mfa=False)
    found = found.filter(Exists(pending))  # asked once, so that nothing else is while nothing is scheduled
    found = found.annotate(requires_from=Subquery(change.values("acts_at")[:1]))
    return found.filter(requires_from__isnull=False).order_by("requires_from", "name", "pk")


# Written out, as the gate's question is: pages ask it. It begins with what is scheduled, which is next to nothing.
_NEXT_REQUIREMENT = """
SELECT min(c.acts_at)
FROM environments_mfachange c JOIN environments_organisation node ON node.id = c.organisation_id
WHERE c.state = 'pending' AND EXISTS (
  SELECT FROM environments_membership m JOIN environments_organisation granted ON granted.id = m.organisation_id
  WHERE m.user_id = %(user)s AND m.accepted_at IS NOT NULL AND (m.expires_at IS NULL OR m.expires_at > %(now)s)
    AND EXISTS (
      SELECT FROM environments_organisation o
      LEFT JOIN environments_organisation source ON source.id = o.require_mfa_source_id
      WHERE o.kind = 'environment' AND NOT o.is_suspended AND NOT o.effective_require_mfa
        AND o.path >= node.path AND o.path < node.path || '~'
        AND o.path >= granted.path AND o.path < granted.path || '~'
        AND (c.locked OR source.id IS NULL OR source.path <= node.path)))
"""


def next_requirement(user: User) -> datetime | None:
    """Return the instant (UTC) from which a scheduled change will newly require it of ``user``, or None."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_REQUIREMENT, {"user": user.pk, "now": timezone.now()})
        found: datetime | None = cursor.fetchone()[0]
        return found
