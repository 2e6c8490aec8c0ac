"""Roles that people get by a domain: who answers for them, and what happens once nobody does any more.

The roles were stored by one person and are given later, by somebody else's act. So they are compared with the
permissions of whoever added or confirmed the domain, and of whoever set the roles, at the moment when they are given.
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
from environments.caller import Caller
from environments.choices import DomainNews, Permission, Role, permissions_of
from environments.models import Organisation, OrganisationDomain


def can_give(person: User | None, organisation: Organisation, roles: list[str]) -> bool:
    """Tell whether ``person`` could give these roles in the organisation now."""
    if person is None or not person.is_active:
        return False
    return _holds(Caller.of(person), organisation, roles)


def _holds(caller: Caller, organisation: Organisation, roles: list[str]) -> bool:
    held = permissions_in(caller, organisation)
    return Permission.MANAGE_MEMBERS in held and permissions_of(roles) <= held


def is_confirmed(domain: OrganisationDomain) -> bool:
    """Tell whether people who join by the domain get the auto-invite roles; otherwise they become Member."""
    organisation = domain.organisation
    roles = organisation.auto_invite_roles
    if not exceeds_member(roles):
        return True
    if domain.unconfirmed_since is not None or not can_give(domain.confirmed_by, organisation, roles):
        return False
    # Roles that were set before it was kept by whom stand on the word of whoever confirmed the domain alone.
    return organisation.auto_invite_by is None or can_give(organisation.auto_invite_by, organisation, roles)


def exceeds_member(roles: list[str]) -> bool:
    return bool(set(roles) - {Role.MEMBER})


def roles_by(domain: OrganisationDomain) -> list[str]:
    """Return the roles that people get who join by the domain now; none where its organisation lets nobody in."""
    roles: list[str] = domain.organisation.auto_invite_roles
    return roles if is_confirmed(domain) else [Role.MEMBER]


@transaction.atomic
def review(domain: OrganisationDomain, *, now: datetime) -> None:
    """Check whether somebody is still responsible for the domain's roles. Once nobody is, only ``confirm`` ends that.

    The administrators are then asked by mail to confirm the domain, once.
    """
    if domain.unconfirmed_since is not None or is_confirmed(domain):
        return
    domain.unconfirmed_since = now
    unnoted = OrganisationDomain.objects.filter(pk=domain.pk, unconfirmed_since=None)
    if unnoted.update(unconfirmed_since=now):
        roles = domain.organisation.auto_invite_roles
        after = {"domain": domain.domain, "roles": [Role.MEMBER]}
        record("domain.unconfirmed", domain.organisation, by=None, before={"roles": roles}, after=after)
        notices.tell_of_domain(domain, DomainNews.UNCONFIRMED, now=now)


def review_all(*, now: datetime, of: Organisation | None = None, by: User | None = None) -> None:
    """Review every proven domain; of one organisation alone, or in all that stands on the word of one person."""
    found = OrganisationDomain.objects.filter(verified_at__isnull=False, unconfirmed_since=None)
    found = found.exclude(organisation__auto_invite_roles__contained_by=[Role.MEMBER])
    if of is not None:
        found = found.filter(organisation=of)
    if by is not None:
        found = found.filter(Q(confirmed_by=by) | Q(organisation__auto_invite_by=by))
    for domain in found.select_related("organisation__auto_invite_by", "confirmed_by").order_by("pk"):
        review(domain, now=now)


@transaction.atomic
def confirm(domain: OrganisationDomain, *, by: Caller, now: datetime) -> None:
    """Let people of the domain join with the auto-invite roles on the word of ``by``.

    Raises ``PermissionDenied`` where one of the roles has more permissions than ``by``, ``ValidationError`` where the
    domain was removed meanwhile.
    """
    person = by.require_person()
    lock_to_act(person, is_fresh=True)
    organisation = Organisation.objects.select_for_update().get(pk=domain.organisation_id)
    kept = OrganisationDomain.objects.select_for_update().filter(pk=domain.pk).first()
    if kept is None:
        raise ValidationError(_("Somebody has removed this domain."))
    check_can_add(by, organisation)
    kept.confirmed_by, kept.unconfirmed_since = person, None
    kept.save(update_fields=["confirmed_by", "unconfirmed_since"])
    roles = organisation.auto_invite_roles
    if not can_give(organisation.auto_invite_by, organisation, roles):
        organisation.auto_invite_by = person
        organisation.save(update_fields=["auto_invite_by"])
    record("domain.confirmed", organisation, by=by, after={"domain": kept.domain, "roles": roles})


def check_can_add(by: Caller, organisation: Organisation) -> None:
    """Raise ``PermissionDenied`` where people who join by a domain get a role with more permissions than ``by``."""
    roles = organisation.auto_invite_roles
    if roles and not _holds(by, organisation, roles):
        message = _("The auto-invite roles have more permissions than your own. Ask an Administrator.")
        raise PermissionDenied(message)
