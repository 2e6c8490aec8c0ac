"""Which keys can act in an organisation, and what each is good for now: for those who manage keys."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from environments.caller import Caller
from environments.choices import KeyRest, Permission, permissions_of
from environments.models import ApiKey, Membership, Organisation
from environments.roster import administers_everything, labels_of, people_of

STATES: dict[str, tuple[str, Promise]] = {  # the badge, and its words
    "active": ("on", _("Active")),
    **{str(why): ("pending", _("Suspended")) for why in KeyRest},  # why stands below
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
    def rests_because(self) -> str:
        """Why it rests, in words; empty for a key that does not."""
        return str(KeyRest(self.state).label) if self.state in KeyRest.values else ""


def keys_of(organisation: Organisation) -> QuerySet[ApiKey]:
    """Return the organisation's own keys, also those that are over, the newest first."""
    own = ApiKey.objects.filter(owner=None, organisation=organisation).select_related("created_by")
    return own.order_by("-created_at", "-pk")


def lines(keys: Iterable[ApiKey], organisation: Organisation, *, now: datetime) -> list[KeyLine]:
    """Return these keys of the organisation with their states. One query."""
    keys = list(keys)
    held = _held_by({key.created_by for key in keys if key.created_by}, organisation, now=now)
    return [
        KeyLine(key, labels_of(key.roles), _state(key, held.get(key.created_by_id or 0, frozenset()), now=now))
        for key in keys
    ]


def personal_keys_in(organisation: Organisation) -> QuerySet[ApiKey]:
    """Return the live personal keys that can act in the organisation: of its people, and not narrowed elsewhere."""
    chain = Organisation.objects.above(organisation).order_by() | Organisation.objects.below(organisation).order_by()
    here = Q(organisation=None) | Q(organisation__in=chain)
    found = ApiKey.objects.filter(here, owner__in=people_of(organisation).values("pk"), revoked_at=None)
    return found.select_related("owner", "organisation").order_by("owner__email", "-created_at", "-pk")


def can_revoke(by: Caller, key: ApiKey, organisation: Organisation) -> bool:
    """Tell whether an Administrator of ``organisation`` can revoke a key: its own; and a personal one that acts nowhere
    else, or whose owner reaches nothing that ``by`` does not administer."""
    if key.owner is None:
        return key.organisation_id == organisation.pk
    if by.user == key.owner:
        return True
    if key.organisation is not None and key.organisation.path.startswith(organisation.path):
        return True
    return administers_everything(by, key.owner) and (by.is_superuser or not key.owner.is_superuser)


def _held_by(minters: set[User], organisation: Organisation, *, now: datetime) -> dict[int, frozenset[Permission]]:
    held = {user.pk: frozenset(Permission) if user.is_superuser else frozenset() for user in minters}
    chain = Organisation.objects.above(organisation).order_by()
    memberships = Membership.objects.live(now).filter(user__in=[user.pk for user in minters], organisation__in=chain)
    for user_id, roles in memberships.values_list("user_id", "roles"):
        held[user_id] |= permissions_of(roles)
    return {user.pk: held[user.pk] for user in minters if user.is_active}


def _state(key: ApiKey, held: frozenset[Permission], *, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    if key.rests_because:
        return key.rests_because
    if key.created_by is None or not key.created_by.is_active:
        return KeyRest.GONE
    is_right = Permission.MANAGE_API_KEYS in held and permissions_of(key.roles) <= held
    return "active" if is_right else KeyRest.LOST
