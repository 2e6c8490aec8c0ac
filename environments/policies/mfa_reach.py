"""Whom Require MFA would affect if an organisation set it to On: environments, and people with access to them."""

from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Concat
from django.utils import timezone

from accounts.models import User
from environments import roster
from environments.models import Membership, MfaChange, Organisation, OrganisationQuerySet
from environments.policies.resolve import reached_by
from environments.policies.scheduled import pending_changes
from web.among import Among
from web.together import Statement


def requiring_if_on(organisation: Organisation, *, locked: bool) -> OrganisationQuerySet:
    """Return the live environments that would require MFA if the organisation set On, also those that do now."""
    environments = Organisation.objects.live().environments().below(organisation)
    if locked:
        return environments
    return environments.filter(Q(effective_require_mfa=True) | ~_is_off_by_itself(organisation))


def requiring_by_lock(organisation: Organisation) -> OrganisationQuerySet:
    """Return the live environments that would require MFA only if the organisation locked On."""
    environments = Organisation.objects.live().environments().below(organisation)
    return environments.filter(_is_off_by_itself(organisation), effective_require_mfa=False)


def _is_off_by_itself(organisation: Organisation) -> Q:
    """Return the condition that a value set below the organisation decides for an environment that is off."""
    decided_above = Among("require_mfa_source", _ids(Organisation.objects.above(organisation)))
    return Q(require_mfa_source__isnull=False) & ~Q(decided_above)


def newly_requiring(organisation: Organisation, *, locked: bool) -> OrganisationQuerySet:
    """Return the live environments that do not require MFA now and would if the organisation set On."""
    return requiring_if_on(organisation, locked=locked).filter(effective_require_mfa=False)


def people_reaching(environments: OrganisationQuerySet, *, around: Organisation) -> QuerySet[User]:
    """Return the people who reach one of these environments, which stand below ``around``, and how they log in."""
    places = (environments, Organisation.objects.between(around, environments), Organisation.objects.above(around))
    granted = reduce(or_, (Q(Among("organisation", _ids(each))) for each in places))
    return roster.people_with(Membership.objects.live().filter(Exists(environments), granted))


def _ids(organisations: OrganisationQuerySet) -> QuerySet[Any]:
    return organisations.order_by().values("pk")


def people_who_will_lack_factor(change: MfaChange) -> QuerySet[User]:
    """Return everybody who must set up a second factor because of the change."""
    environments = newly_requiring(change.organisation, locked=change.locked)
    return roster.without_factor(people_reaching(environments, around=change.organisation))


def soon_requiring(user: User) -> OrganisationQuerySet:
    """Return the environments of ``user`` where a scheduled change will require MFA, the soonest first; one query.

    Each has ``requires_from``, the instant (UTC).
    """
    pending = pending_changes(MfaChange).order_by("acts_at")
    decided_at = Coalesce(OuterRef("require_mfa_source__path"), Value(""))
    change = pending.alias(end=Concat("organisation__path", Value("~"))).filter(
        Q(locked=True) | Q(organisation__path__gte=decided_at),
        organisation__path__lte=OuterRef("path"),
        end__gt=OuterRef("path"),
    )
    environments = Organisation.objects.live().environments().filter(reached_by(user), effective_require_mfa=False)
    environments = environments.filter(
        Exists(pending)
    )  # first, so that nothing else is read while nothing is scheduled
    environments = environments.annotate(requires_from=Subquery(change.values("acts_at")[:1]))
    return environments.filter(requires_from__isnull=False).order_by("requires_from", "name", "pk")


# Raw SQL, because every page asks it. It begins with scheduled changes, of which there are few.
_NEXT_REQUIREMENT = """
SELECT min(c.acts_at)
FROM environments_mfachange c JOIN environments_organisation node ON node.id = c.organisation_id
WHERE c.state = 'pending' AND EXISTS (
  SELECT FROM environments_membership m JOIN environments_organisation granted ON granted.id = m.organisation_id
  WHERE m.user_id = %s AND m.accepted_at IS NOT NULL AND (m.expires_at IS NULL OR m.expires_at > %s)
    AND EXISTS (
      SELECT FROM environments_organisation o
      LEFT JOIN environments_organisation source ON source.id = o.require_mfa_source_id
      WHERE o.kind = 'environment' AND NOT o.is_suspended AND NOT o.effective_require_mfa
        AND o.path >= node.path AND o.path < node.path || '~'
        AND o.path >= granted.path AND o.path < granted.path || '~'
        AND (c.locked OR source.id IS NULL OR source.path <= node.path)))
"""


def next_requirement(user: User) -> Statement:
    """Ask for the instant (UTC) from which a scheduled change will require MFA of ``user``, or None."""
    return _NEXT_REQUIREMENT, (user.pk, timezone.now())
