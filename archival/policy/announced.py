"""What a pending change was announced to delete, against what it would delete by now."""

from datetime import datetime

from archival.choices import ROWS
from archival.models import PolicyChange
from archival.policy.preview import Preview, grown, preview_change
from environments.choices import LONGEST_LIMIT_DAYS
from environments.policies.retention import Retention


def note(change: PolicyChange, going: Preview, *, now: datetime) -> None:
    """Note on the change what it would delete, and which limit it means for each environment that it shortens."""
    change.preview, change.counted_at = going.counts, now
    change.announced = {
        str(each.environment_id): going.effects[each.environment_id].after for each in going.environments
    }


def outgrown(change: PolicyChange, *, now: datetime) -> Preview | None:
    """Return what would go by a pending change now, if that is more than those who may cancel it were told; else None.

    More is anything in an environment that it shortens further than was announced, or not at all then, because
    something else was changed meanwhile; and what a save would be refused for. Raises ``ValidationError`` where
    counting takes too long.
    """
    organisation, new_parent = change.organisation, change.new_parent
    # What moves takes along what it has by then.
    to = change.retention if new_parent is None else Retention.of(organisation)
    going = preview_change(organisation, to, now, new_parent=new_parent, starts_at=change.acts_at)
    for each in going.environments:
        after = going.effects[each.environment_id].after or 0
        told = change.announced.get(str(each.environment_id), LONGEST_LIMIT_DAYS + 1)
        if (each.rows or each.held) and after < told:
            return going
    rows = sum(change.preview.get(kind, 0) for kind in ROWS)
    has_grown = grown(going, rows=rows, then=change.counted_at, counted_for=change.acts_at)
    return going if has_grown else None
