"""Store what a pending change was announced to delete, and count later whether it would delete more."""

from datetime import datetime

from archival.choices import ROWS
from archival.models import PolicyChange
from archival.policy.previews import Preview, preview_change, rows_beyond
from environments.choices import LONGEST_LIMIT_DAYS
from environments.policies.retention import Retention


def store_preview(change: PolicyChange, preview: Preview, *, now: datetime) -> None:
    """Set on the change what it would delete, and the new limit of each environment that it shortens; saves nothing."""
    change.preview, change.counted_at = preview.counts, now
    change.announced = {
        str(each.environment_id): preview.effects[each.environment_id].after for each in preview.environments
    }


def preview_if_more(change: PolicyChange, *, now: datetime) -> Preview | None:
    """Return a preview of a pending change if it would delete more now than was announced; else ``None``.

    Two things count as more: anything in an environment whose limit it shortens further than was announced, or whose
    limit the announcement did not name, because something else was changed meanwhile; and as many rows more as would
    make a save fail with ``StalePreview``. Raises ``ValidationError`` where counting takes too long.
    """
    organisation, new_parent = change.organisation, change.new_parent
    # An organisation moves with the retention that it has by then.
    to = change.retention if new_parent is None else Retention.of(organisation)
    preview = preview_change(organisation, to, now, new_parent=new_parent, starts_at=change.acts_at)
    for each in preview.environments:
        after = preview.effects[each.environment_id].after or 0
        announced = change.announced.get(str(each.environment_id), LONGEST_LIMIT_DAYS + 1)
        if (each.rows or each.held) and after < announced:
            return preview
    rows = sum(change.preview.get(kind, 0) for kind in ROWS)
    has_grown = rows_beyond(preview, rows=rows, then=change.counted_at, counted_for=change.acts_at)
    return preview if has_grown else None
