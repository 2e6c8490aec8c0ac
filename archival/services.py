"""Change how long data is kept, and place and release what stops its deletion."""

from datetime import datetime

from audit.services import Actor
from environments.models import Organisation
from environments.services import set_archival


def change_retention(
    organisation: Organisation,
    *,
    archival: str,
    days: int | None,
    locked: bool | None = None,
    by: Actor | None,
    now: datetime,
    at_once: bool = False,
) -> bool:
    """Keep conversation data of the organisation and all below it as long as this; returns whether anything changed.

    ``archival`` is inherit, keep or limit, ``days`` 1..3650 with limit and None otherwise, ``locked`` None leaves the
    lock. Raises ``ValidationError`` for malformed values and for what a lock above does not allow.
    """
    return set_archival(organisation, archival=archival, days=days, locked=locked, by=by, now=now)
