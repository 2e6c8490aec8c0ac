"""List the keys that work in an organisation, with their states, for people who manage keys."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from environments.caller import Caller
from environments.choices import KeySuspension, Permission, labels_of, permissions_of
from environments.models import ApiKey, Membership, Organisation
from environments.roster import administers_everything
from web.among import Among

STATES: dict[str, tuple[str, Promise]] = {  # the badge, and its words
    "active": ("on", _("Active")),
    **{str(why): ("pending", _("Suspended")) for why in KeySuspension},  # the row shows the reason
    "expired": ("off", _("Expired")),
    "revoked": ("off", _("Revoked")),
}


@dataclass(frozen=True, slots=True)
class KeyLine:
    key: ApiKey
    roles: list[str]
    state: str  # a key of ``STATES``

    @property
    def badge(self) -> str:
        return STATES[self.state][0]

    @property
    def words(self) -> str:
        return str(STATES[self.state][1])

    @property
    def can_be_revoked(self) -> bool:
        return self.key.revoked_at is None

    @property
    def suspension_reason(self) -> str:
        """Why the key is suspended, in words; empty if it is not."""
        return str(KeySuspension(self.state).label) if self.state in KeySuspension.values else ""


def organisation_keys(organisation: Organisation) -> QuerySet[ApiKey]:
    """Return the organisation's own keys, also revoked and expired ones, the newest first."""
    own = ApiKey.objects.filter(owner=None, organisation=organisation).select_related("created_by")
    return own.order_by("-created_at", "-pk")


def key_lines(keys: Iterable[ApiKey], organisation: Organisation, *, now: datetime) -> list[KeyLine]:
    """Return these keys of the organisation with their states; one query."""
    keys = list(keys)
    permissions = _permissions_by_user({key.created_by for key in keys if key.created_by}, organisation, now=now)
    return [
        KeyLine(key, labels_of(key.roles), _state(key, permissions.get(key.created_by_id or 0, frozenset()), now=now))
        for key in keys
    ]


def personal_keys_in(organisation: Organisation) -> QuerySet[ApiKey]:
    """Return the unrevoked personal keys that work in the organisation: of its people, and not limited to another."""
    chain = Organisation.objects.above(organisation).order_by() | Organisation.objects.below(organisation).order_by()
    here = Q(organisation=None) | Among("organisation", chain.values("pk"))
    above = Organisation.objects.above(organisation).order_by()
    granted = Membership.objects.live().filter(Among("organisation", above.values("pk")))
    personal = ApiKey.objects.filter(
        here, Among("owner", granted.values("user")), owner__is_active=True, revoked_at=None
    )
    return personal.select_related("owner", "organisation").order_by("owner__email", "-created_at", "-pk")


def can_revoke(by: Caller, key: ApiKey, organisation: Organisation) -> bool:
    """Return whether ``by``, an Administrator of ``organisation``, can revoke a key.

    They can revoke its own keys, personal keys that work nowhere else, and those of owners with access to nothing that
    ``by`` does not administer.
    """
    if key.owner is None:
        return key.organisation_id == organisation.pk
    if by.user == key.owner:
        return True
    if key.organisation is not None and key.organisation.path.startswith(organisation.path):
        return True
    return administers_everything(by, key.owner) and (by.is_superuser or not key.owner.is_superuser)


def _permissions_by_user(
    people: set[User], organisation: Organisation, *, now: datetime
) -> dict[int, frozenset[Permission]]:
    held = {user.pk: frozenset(Permission) if user.is_superuser else frozenset() for user in people}
    chain = Organisation.objects.above(organisation).order_by()
    memberships = Membership.objects.live(now).filter(user__in=[user.pk for user in people], organisation__in=chain)
    for user_id, roles in memberships.values_list("user_id", "roles"):
        held[user_id] |= permissions_of(roles)
    return {user.pk: held[user.pk] for user in people if user.is_active}


def _state(key: ApiKey, held: frozenset[Permission], *, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    if key.rests_because:
        return key.rests_because
    if key.created_by is None or not key.created_by.is_active:
        return KeySuspension.GONE
    is_entitled = Permission.MANAGE_API_KEYS in held and permissions_of(key.roles) <= held
    return "active" if is_entitled else KeySuspension.LOST
