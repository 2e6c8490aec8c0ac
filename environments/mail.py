"""Mails to the Administrators of an organisation, and who else is mailed about it."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from accounts import mail
from accounts.models import User
from environments.choices import DomainNews, Permission, Role
from environments.models import ApiKey, Membership, Organisation, OrganisationDomain

MOST_RECIPIENTS = 100


def administrators(organisation: Organisation) -> list[User]:
    """Return the active Administrators of an organisation; where it has none of its own, those of the nearest above."""
    found = _nearest(organisation, Membership.objects.live().filter(roles__contains=[Role.ADMINISTRATOR]))
    return [membership.user for membership in found]


def memberships_that_answer_requests(organisation: Organisation) -> list[Membership]:
    """Return the memberships of active people who can answer access requests there; if none, of the nearest above."""
    return _nearest(organisation, Membership.objects.live().allowing(Permission.ANSWER_ACCESS_REQUESTS))


def memberships_that_manage_members(organisation: Organisation) -> list[Membership]:
    """Return the memberships of active people who manage members there; if there are none, of the nearest above."""
    return _nearest(organisation, Membership.objects.live().allowing(Permission.MANAGE_MEMBERS))


def _nearest(organisation: Organisation, memberships: QuerySet[Membership]) -> list[Membership]:
    above = Organisation.objects.above(organisation).order_by()
    chain = memberships.filter(organisation__in=above, user__is_active=True)
    nearest = chain.order_by("-organisation__depth").values_list("organisation", flat=True).first()
    of_nearest = chain.filter(organisation=nearest).select_related("user", "organisation")
    return list(of_nearest.order_by("user__email")[:MOST_RECIPIENTS])


@transaction.atomic
def mail_about_domain(domain: OrganisationDomain, news: DomainNews, *, now: datetime) -> None:
    """Mail the administrators that this happened to the domain."""
    for person in administrators(domain.organisation):
        context = {"domain": domain, "organisation": domain.organisation, "news": news, "at": now}
        mail.send(person, "domain", context)


@transaction.atomic
def mail_about_suspended_keys(keys: list[ApiKey], *, now: datetime) -> None:
    """Mail the administrators that these keys of one organisation are suspended, and why."""
    organisation = keys[0].organisation
    if organisation is None:
        return
    for person in administrators(organisation):
        mail.send(person, "api_keys_rest", {"keys": keys, "organisation": organisation, "at": now})
