"""The roles of people who join by a domain: who is responsible for them, and what happens once nobody is.

One person stores the roles; later another person joins and gets them. So, when they are given, they are compared with
the permissions of the person who added or confirmed the domain, and of the person who set the roles.
"""

from datetime import datetime

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.standing import lock_to_act
from audit.services import record
from environments import mail as notices
from environments.access import permissions_in
from environments.audit_log.versions import check_version
from environments.caller import Caller
from environments.choices import DomainNews, Permission, Role, permissions_of
from environments.models import Organisation, OrganisationDomain


def can_give(person: User | None, organisation: Organisation, roles: list[str]) -> bool:
    """Return whether ``person`` could give these roles in the organisation now."""
    if person is None or not person.is_active:
        return False
    return _holds(Caller.of(person), organisation, roles)


def _holds(caller: Caller, organisation: Organisation, roles: list[str]) -> bool:
    held = permissions_in(caller, organisation)
    return Permission.MANAGE_MEMBERS in held and permissions_of(roles) <= held


def is_confirmed(domain: OrganisationDomain) -> bool:
    """Return whether people who join by the domain get the auto-invite roles; otherwise they become Member."""
    organisation = domain.organisation
    roles = organisation.auto_invite_roles
    if not exceeds_member(roles):
        return True
    if domain.unconfirmed_since is not None or not can_give(domain.confirmed_by, organisation, roles):
        return False
    # None: the roles are older than this field, and only the person who confirmed the domain is responsible for them.
    return organisation.auto_invite_by is None or can_give(organisation.auto_invite_by, organisation, roles)


def exceeds_member(roles: list[str]) -> bool:
    return bool(set(roles) - {Role.MEMBER})


def roles_given_by(domain: OrganisationDomain) -> list[str]:
    """Return the roles of people who join by the domain now; none if its organisation has no auto-invite roles."""
    roles: list[str] = domain.organisation.auto_invite_roles
    return roles if is_confirmed(domain) else [Role.MEMBER]


@transaction.atomic
def review_domain(domain: OrganisationDomain, *, now: datetime) -> None:
    """Mark the domain as unconfirmed if nobody is responsible for its roles; only ``confirm_domain`` ends that.

    The administrators are then asked by mail, once, to confirm the domain.
    """
    if domain.unconfirmed_since is not None or is_confirmed(domain):
        return
    domain.unconfirmed_since = now
    still_confirmed = OrganisationDomain.objects.filter(pk=domain.pk, unconfirmed_since=None)
    if still_confirmed.update(unconfirmed_since=now):
        roles = domain.organisation.auto_invite_roles
        after = {"domain": domain.domain, "roles": [Role.MEMBER]}
        record("domain.unconfirmed", domain.organisation, by=None, before={"roles": roles}, after=after)
        notices.mail_about_domain(domain, DomainNews.UNCONFIRMED, now=now)


def review_domains(*, now: datetime, of: Organisation | None = None, person: User | None = None) -> None:
    """Review all verified domains, those of one organisation, or those that ``person`` is responsible for."""
    domains = OrganisationDomain.objects.filter(verified_at__isnull=False, unconfirmed_since=None)
    domains = domains.exclude(organisation__auto_invite_roles__contained_by=[Role.MEMBER])
    if of is not None:
        domains = domains.filter(organisation=of)
    if person is not None:
        domains = domains.filter(Q(confirmed_by=person) | Q(organisation__auto_invite_by=person))
    for domain in domains.select_related("organisation__auto_invite_by", "confirmed_by").order_by("pk"):
        review_domain(domain, now=now)


@transaction.atomic
def confirm_domain(domain: OrganisationDomain, *, by: Caller, now: datetime, seen: str | None = None) -> None:
    """Make ``by`` responsible for the domain: its people join with the auto-invite roles again.

    Raises ``PermissionDenied`` where one of the roles has more permissions than ``by``, ``ValidationError`` where the
    domain was removed meanwhile, and ``ChangedMeanwhile`` if the roles are not those whose version is ``seen``.
    """
    person = by.require_person()
    lock_to_act(person, is_fresh=True)
    organisation = Organisation.objects.select_for_update().get(pk=domain.organisation_id)
    locked = OrganisationDomain.objects.select_for_update().filter(pk=domain.pk).first()
    if locked is None:
        raise ValidationError(_("Somebody has removed this domain."))
    check_can_add(by, organisation)
    check_version(seen, organisation.auto_invite_roles, organisation, "auto_invite.changed")
    locked.confirmed_by, locked.unconfirmed_since = person, None
    locked.save(update_fields=["confirmed_by", "unconfirmed_since"])
    roles = organisation.auto_invite_roles
    if not can_give(organisation.auto_invite_by, organisation, roles):
        organisation.auto_invite_by = person
        organisation.save(update_fields=["auto_invite_by"])
    record("domain.confirmed", organisation, by=by, after={"domain": locked.domain, "roles": roles})


def check_can_add(by: Caller, organisation: Organisation) -> None:
    """Raise ``PermissionDenied`` where people who join by a domain get a role with more permissions than ``by``."""
    roles = organisation.auto_invite_roles
    if roles and not _holds(by, organisation, roles):
        message = _("The auto-invite roles have more permissions than your own. Ask an Administrator.")
        raise PermissionDenied(message)
