"""Say what ends with all memberships of a person at or below an organisation, before they are ended."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from accounts.models import SessionRecord, User
from environments.access import Granted, granted_to, permissions_in
from environments.caller import Caller
from environments.choices import Permission, permissions_of
from environments.domains.confirmations import exceeds_member
from environments.members.services import memberships_within
from environments.models import ApiKey, Invitation, InvitationLink, Membership, Organisation, OrganisationDomain


@dataclass(frozen=True, slots=True)
class Ending:
    """What ends with the memberships; each list in a stable order."""

    memberships: list[Membership]
    revoked_keys: list[ApiKey]  # their own, without access to anything left
    closed_keys: list[ApiKey]  # their own, which work on elsewhere
    suspended_keys: list[ApiKey]  # of organisations, until somebody takes them over
    invitations: list[Invitation]  # open ones that they sent
    links: list[InvitationLink]  # to join, that they copied and nobody used
    domains: list[OrganisationDomain]  # whose people become Member until an administrator confirms them
    impersonations: list[SessionRecord]  # by and of them
    has_role_above: bool  # which still gives access


def what_ends(user: User, organisation: Organisation, *, now: datetime) -> Ending:
    """Return what ``environments.members.services.remove_user`` would end; the same queries for any number."""
    memberships = list(memberships_within(organisation).filter(user=user).order_by("organisation__path"))
    granted = granted_to(Caller.of(user))
    left = _Left(user, [each for each in granted if not each.path.startswith(organisation.path)])
    below = Organisation.objects.below(organisation).order_by()
    keys = list(left.personal_keys(now=now))
    return Ending(
        memberships=memberships,
        revoked_keys=[key for key in keys if not left.opens_anything(key)],
        closed_keys=[key for key in keys if left.opens_anything(key)],
        suspended_keys=[
            key
            for key in left.organisation_keys(now=now).filter(organisation__in=below)
            if not left.has(Permission.MANAGE_API_KEYS, key.roles, key.organisation)
        ],
        invitations=[
            invitation
            for invitation in left.invitations(now=now).filter(organisation__in=below)
            if not left.has(Permission.MANAGE_MEMBERS, invitation.roles, invitation.organisation)
        ],
        links=[
            link
            for link in left.links(now=now).filter(organisation__in=below)
            if not left.has(Permission.MANAGE_MEMBERS, link.roles, link.organisation)
        ],
        domains=[
            domain
            for domain in left.domains().filter(organisation__in=below)
            if exceeds_member(domain.organisation.auto_invite_roles)
            and not left.has(Permission.MANAGE_MEMBERS, domain.organisation.auto_invite_roles, domain.organisation)
        ],
        impersonations=left.ended_impersonations(memberships, organisation, now=now),
        has_role_above=any(organisation.path.startswith(each.path) for each in left.granted),
    )


@dataclass(frozen=True, slots=True)
class _Left:
    """A person with the memberships that are left to them, and what they are responsible for."""

    user: User
    granted: list[Granted]

    def has(self, permission: Permission, roles: list[str], organisation: Organisation | None) -> bool:
        """Return whether they still have the permission, and all permissions of these roles, in the organisation."""
        if organisation is None:
            return False
        held = permissions_in(Caller.of(self.user), organisation, granted=self.granted)
        return permission in held and permissions_of(roles) <= held

    def personal_keys(self, *, now: datetime) -> QuerySet[ApiKey]:
        return _working(ApiKey.objects.filter(owner=self.user), now=now)

    def opens_anything(self, key: ApiKey) -> bool:
        """Return whether a personal key still has access to anything."""
        granted = [each for each in self.granted if each.organisation_id not in key.ended_in]
        if key.organisation is not None:
            return Permission.VIEW in permissions_in(Caller.by_key(key), key.organisation, granted=granted)
        return self.user.is_superuser or bool(granted)

    def organisation_keys(self, *, now: datetime) -> QuerySet[ApiKey]:
        keys = ApiKey.objects.filter(owner=None, created_by=self.user, rests_since=None)
        return _working(keys, now=now)

    def invitations(self, *, now: datetime) -> QuerySet[Invitation]:
        sent = Invitation.objects.filter(invited_by=self.user, used_at=None, expires_at__gt=now, by_domain=None)
        return sent.select_related("organisation").order_by("pk")

    def links(self, *, now: datetime) -> QuerySet[InvitationLink]:
        unused = InvitationLink.objects.filter(created_by=self.user, used_at=None, expires_at__gt=now)
        return unused.select_related("organisation").order_by("pk")

    def domains(self) -> QuerySet[OrganisationDomain]:
        verified = OrganisationDomain.objects.filter(verified_at__isnull=False, unconfirmed_since=None)
        theirs = verified.filter(Q(confirmed_by=self.user) | Q(organisation__auto_invite_by=self.user))
        return theirs.select_related("organisation").order_by("pk")

    def ended_impersonations(
        self, memberships: list[Membership], organisation: Organisation, *, now: datetime
    ) -> list[SessionRecord]:
        """Return the sessions that view as them where a membership ends, and theirs where they can no longer view."""
        sessions = SessionRecord.objects.open().filter(looks_until__gt=now)
        sessions = sessions.filter(Q(user=self.user) | Q(looks_as=self.user)).order_by("pk")
        found = list(sessions)
        places = Organisation.objects.below(organisation).in_bulk({each.looks_in_id for each in found}) if found else {}
        ended_in = {each.organisation_id for each in memberships}
        return [
            each
            for each in found
            if (each.looks_as_id == self.user.pk and each.looks_in_id in ended_in)
            or (
                each.user_id == self.user.pk
                and each.looks_in_id in places
                and not self.has(Permission.IMPERSONATE, [], places[each.looks_in_id])
            )
        ]


def _working(keys: QuerySet[ApiKey], *, now: datetime) -> QuerySet[ApiKey]:
    working = keys.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)
    return working.select_related("organisation", "owner", "created_by").order_by("pk")
