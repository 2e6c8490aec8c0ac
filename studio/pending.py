"""What pending changes of retention are going to delete, for the home pages."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from archival.models import PolicyChange
from archival.policy.what_if import effect_on
from environments.access import Access
from environments.choices import Permission
from environments.models import Organisation
from environments.policies.scheduled import pending_changes
from environments.requests import StudioRequest
from studio.context import address


@dataclass(frozen=True)
class PendingDeletion:
    """A pending change of retention with its last count, and the address of the page that has more about it.

    ``days`` is the limit that a change further up sets here; its counts are not those of this organisation alone, so
    they are left out. ``out_of`` is how many conversations there are, where known and not fewer than go.
    """

    change: PolicyChange
    address: str | None
    days: int | None = None
    out_of: int | None = None

    @property
    def at(self) -> datetime:
        return self.change.acts_at

    @property
    def conversations(self) -> int:
        return int(self.change.preview.get("conversations", 0))

    @property
    def messages(self) -> int:
        return int(self.change.preview.get("messages", 0))


def pending_deletions(
    request: StudioRequest, access: Access, *, conversations: int | None = None
) -> dict[str, list[PendingDeletion]]:
    """Return what is pending: by a change of the organisation itself, by changes above it, and by changes below it.

    ``conversations`` is how many the environment has. One query, and one more for each move above.
    """
    organisation = access.organisation
    above = Organisation.objects.above(organisation).order_by().values("pk")
    below = Organisation.objects.below(organisation).order_by().values("pk")
    concerned = Q(organisation__in=above) | Q(organisation__in=below)
    changes = pending_changes(PolicyChange).filter(concerned).select_related("organisation", "new_parent")
    found: dict[str, list[PendingDeletion]] = {"here": [], "above": [], "below": []}
    for change in changes.order_by("acts_at", "pk"):
        node = change.organisation
        if node.pk == organisation.pk:
            known = conversations if (conversations or 0) >= change.preview.get("conversations", 0) else None
            if change.deletes:
                found["here"].append(PendingDeletion(change, ledger_of(request, node), out_of=known))
        elif node.path.startswith(organisation.path):
            if change.deletes:
                found["below"].append(PendingDeletion(change, ledger_of(request, node)))
        elif (effect := effect_on(organisation, change, above=access.above)).is_tighter:
            found["above"].append(PendingDeletion(change, settings_of(request, organisation), days=effect.after))
    return found


def ledger_of(request: StudioRequest, organisation: Organisation) -> str | None:
    """Return the address of the ledger, where the change can be cancelled, or None without the permissions for that."""
    needed = {Permission.READ_AUDIT_LOG, Permission.CHANGE_ADVANCED_SETTINGS}
    return address("archival:ledger", organisation.slug) if needed <= request.permissions else None


def settings_of(request: StudioRequest, organisation: Organisation) -> str | None:
    can_change = Permission.CHANGE_ADVANCED_SETTINGS in request.permissions
    return address("studio:advanced-settings", organisation.slug) if can_change else None
