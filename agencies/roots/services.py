"""Create an organisation at the top of the tree."""

from datetime import datetime

from environments.access import RoleTooLow
from environments.caller import Caller
from environments.models import Organisation
from environments.tree.services import create_organisation


def create_root(name: str, *, kind: str, slug: str = "", by: Caller, now: datetime) -> Organisation:
    """Create a market, a distributor or an agency at the top, and return it.

    Raises ``PermissionDenied`` for anybody but a super user, and the errors of ``create_organisation``.
    """
    if not by.is_superuser:
        raise RoleTooLow
    return create_organisation(name, kind=kind, slug=slug, by=by, now=now)
