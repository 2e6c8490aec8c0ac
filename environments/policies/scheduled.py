"""Find, lock, apply and end changes of settings that wait for their date. Each change is one row."""

from collections.abc import Callable, Iterable
from dataclasses import astuple
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from audit.services import label_of
from environments.caller import Caller
from environments.choices import ScheduleState
from environments.models import Organisation, ScheduledChange
from web.alone import set_aside

Change = TypeVar("Change", bound=ScheduledChange)


def pending_changes(model: type[Change]) -> QuerySet[Change]:
    """Return all pending changes of this model."""
    return model._default_manager.filter(state=ScheduleState.PENDING)


def pending_change(model: type[Change], organisation: Organisation) -> Change | None:
    """Return the pending change of this organisation itself, or None; inside ``lock_policies()`` it stays that way."""
    return pending_changes(model).filter(organisation=organisation).first()


def state_of(own: Any, pending: Model | None) -> list[Any]:
    """Return what a form of the setting shows, for its version: the own value, and which change waits."""
    return [*astuple(own), pending and pending.pk]


def lock_pending_change(model: type[Change], pk: int) -> Change | None:
    """Lock a pending change until commit, and return it with its organisation; None if it ended meanwhile."""
    changes = pending_changes(model).select_for_update(of=("self",)).select_related("organisation", "requested_by")
    return changes.filter(pk=pk).first()


def apply_each_due(model: type[Change], apply: Callable[[int], bool], *, name: str, now: datetime) -> int:
    """Call ``apply`` with the id of each change that is due, the earliest first; returns how many it applied.

    ``apply`` opens a transaction of its own and returns False if the change ended meanwhile. A change that fails is
    logged as "Change 7 of ``name``" and tried again the next time; the others are applied.
    """
    due = pending_changes(model).filter(acts_at__lte=now).order_by("acts_at", "pk")
    applied = 0
    for pk in due.values_list("pk", flat=True):
        with set_aside(f"Change {pk} of {name}"):
            applied += apply(pk)
    return applied


def end_change(change: ScheduledChange, state: str, *, by: Caller, now: datetime, also: Iterable[str] = ()) -> None:
    """Store that a pending change ended, how, and by whom; ``also`` names more fields to save."""
    change.state, change.ended_at, change.ended_label = state, now, label_of(by)
    change.save(update_fields=["state", "ended_at", "ended_label", *also])
