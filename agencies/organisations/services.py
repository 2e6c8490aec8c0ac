"""Move, suspend and resume organisations, for whoever has the permission in the organisation right above.

An organisation's own Administrators cannot: they could take it away from who is responsible for it, and could not open
it again once they had closed it.
"""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from archival.choices import DeletionState
from archival.models import Deletion, PolicyChange
from archival.policy import services as policy
from environments.audit_log.versions import check_version
from environments.caller import Caller
from environments.choices import Permission
from environments.models import Organisation
from environments.policies.resolve import lock_policies
from environments.tree import services as tree

OPEN = [DeletionState.RUNNING, DeletionState.STOPPED]


def check_can_move(organisation: Organisation, *, to: Organisation | None, by: Caller) -> None:
    """Raise ``PermissionDenied`` unless ``by`` can create organisations both where it is and below ``to``.

    To the root (``None``) only super users can move it. Raises ``ValidationError`` for a parent of the wrong rank, for
    one below itself, for the one that it has, and at the root for a kind that needs a parent.
    """
    tree.check_can_move(organisation, to=to, by=by)
    if to is not None and to.path.startswith(organisation.path):
        raise ValidationError(_("An organisation cannot be moved below itself."))
    organisation.check_parent(to)
    if (to.path if to is not None else "") == organisation.parent_path:
        raise ValidationError(_("%(name)s is there already.") % {"name": organisation.name})


def move(
    organisation: Organisation,
    *,
    to: Organisation | None,
    by: Caller,
    now: datetime,
    shown: str | None = None,
    seen: str | None = None,
    typed_name: str | None = None,
) -> PolicyChange | None:
    """Move the organisation below ``to``, or to the root; return the pending change if data would be deleted there.

    ``shown`` is the token of the preview that was shown, ``seen`` the version of the place that it was moved from.
    Where ``COOLING_OFF_HOURS`` is 0, a move that would delete data needs the organisation's name as ``typed_name``.
    Raises the errors of ``check_can_move``, ``StalePreview``, and ``ChangedMeanwhile``.
    """
    organisation.refresh_from_db()
    check_can_move(organisation, to=to, by=by)
    check_version(seen, organisation.parent_path, organisation, "organisation.moved")
    return policy.move_organisation(organisation, to=to, by=by, now=now, shown=shown, typed_name=typed_name)


@transaction.atomic
def suspend(organisation: Organisation, *, by: Caller, now: datetime) -> None:
    """Close the organisation and everything below it to members and keys; data keeps ageing. No-op if suspended.

    Raises ``PermissionDenied`` unless ``by`` can delete organisations in the one right above.
    """
    lock_policies()
    organisation.refresh_from_db()
    tree.check_permission_above(by, organisation, Permission.DELETE)
    tree.suspend(organisation, by=by, now=now)


@transaction.atomic
def resume(organisation: Organisation, *, by: Caller, now: datetime) -> None:
    """Open the organisation again; it stays closed while one above is suspended. No-op if not suspended.

    Raises ``PermissionDenied`` as ``suspend`` does, and ``ValidationError`` while it is being deleted.
    """
    lock_policies()
    organisation.refresh_from_db()
    tree.check_permission_above(by, organisation, Permission.DELETE)
    if Deletion.objects.filter(organisation=organisation, state__in=OPEN).exists():
        raise ValidationError(_("%(name)s is being deleted. Reopen it there.") % {"name": organisation.name})
    tree.resume(organisation, by=by, now=now)
