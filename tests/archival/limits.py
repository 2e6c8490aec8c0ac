"""Set and read a limit as a test needs it, with its effective values resolved."""

from datetime import datetime, timedelta

from environments.choices import Archival
from environments.models import Organisation
from environments.policies.resolve import resolve
from tests.factories import NOW


def archive_after(
    organisation: Organisation, days: int | None, *, locked: bool = False, now: datetime = NOW - timedelta(days=1000)
) -> Organisation:
    """Limit the organisation to ``days``, or keep everything with None, as of ``now``."""
    organisation.archival = Archival.KEEP if days is None else Archival.LIMIT
    organisation.archive_after_days, organisation.archival_locked = days, locked
    organisation.save(update_fields=["archival", "archive_after_days", "archival_locked"])
    resolve(organisation, now=now)
    organisation.refresh_from_db()
    return organisation


def effective(organisation: Organisation) -> int | None:
    """Return the limit in days that holds now, or None where everything is kept."""
    organisation.refresh_from_db()
    return organisation.effective_archive_after_days
