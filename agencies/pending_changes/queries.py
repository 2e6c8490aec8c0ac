"""Query the pending changes of both settings, over everything that a caller has access to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet, Value

from archival.models import PolicyChange
from environments.access import Granted, permissions_in, reachable
from environments.caller import Caller
from environments.choices import Permission
from environments.models import MfaChange, Organisation
from environments.policies.scheduled import pending_changes
from web.together import counted

MODELS: dict[str, Any] = {"mfa": MfaChange, "retention": PolicyChange}


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A pending change of one of the settings, and whether the viewer can cancel it."""

    setting: str  # of ``MODELS``
    change: Any
    can_change: bool

    @property
    def is_retention(self) -> bool:
        return self.setting == "retention"


def changes_within_reach(setting: str, caller: Caller) -> QuerySet[Any]:
    """Return the pending changes of a setting in organisations that the caller has access to."""
    return pending_changes(MODELS[setting]).filter(organisation__in=reachable(caller).order_by().values("pk"))


def all_within_reach(caller: Caller) -> QuerySet[Any]:
    """Return what identifies each pending change, as dictionaries with ``setting`` and ``pk``; the soonest first."""
    first, second = (
        changes_within_reach(setting, caller).order_by().values("acts_at", "pk", setting=Value(setting))
        for setting in MODELS
    )
    return first.union(second, all=True).order_by("acts_at", "setting", "pk")


def questions_about_count(caller: Caller) -> dict[str, Any]:
    """Return what the number of pending changes is the sum of, for ``fetch_together``."""
    return {f"pending_{setting}": counted(changes_within_reach(setting, caller)) for setting in MODELS}


def load(found: Iterable[dict[str, Any]], *, viewer: Caller, granted: list[Granted]) -> list[PendingChange]:
    """Return changes of ``all_within_reach`` with their organisations, in the same order; two queries."""
    found = list(found)
    by_key: dict[tuple[str, int], Any] = {}
    for setting, model in MODELS.items():
        keys = [each["pk"] for each in found if each["setting"] == setting]
        changes = model.objects.filter(pk__in=keys).select_related("organisation")
        by_key |= {(setting, change.pk): change for change in changes}
    shown = [(setting, by_key.get((setting, each["pk"]))) for each in found for setting in [each["setting"]]]
    return [
        PendingChange(setting, change, _can_change(viewer, change.organisation, granted))
        for setting, change in shown
        if change is not None  # it has just been deleted with its organisation
    ]


def _can_change(viewer: Caller, organisation: Organisation, granted: list[Granted]) -> bool:
    """Return whether the viewer can cancel a change there; an impersonator, who reads alone, cannot. No query."""
    if viewer.impersonator is not None:
        return False
    return Permission.CHANGE_ADVANCED_SETTINGS in permissions_in(viewer, organisation, granted=granted)
