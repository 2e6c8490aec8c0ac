"""Customize conversation archival: changing the own value of an organisation."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.services import Actor, record
from environments.choices import LONGEST_LIMIT_DAYS, Archival
from environments.models import Organisation
from environments.policies.refusals import name_for, refusal
from environments.policies.resolve import lock_policies, resolve


@transaction.atomic
def set_archival(
    organisation: Organisation,
    *,
    archival: str,
    days: int | None,
    locked: bool | None = None,
    by: Actor | None,
    now: datetime,
) -> bool:
    """Set how long the organisation keeps conversation data, for itself and all below; acts at once.

    The inert primitive: it deletes nothing and asks nobody. Whoever may shorten something calls
    ``archival.policy.services.change_retention``. ``archival`` is an ``Archival``, ``days`` 1..3650 with limit and None
    otherwise; ``locked`` None leaves the lock as it is (a value other than a limit takes it off). Own values below are
    kept, also where the new lock overrules them. Returns whether anything changed. Raises ``ValidationError`` for
    malformed values, a lock on anything but a limit, and a value looser than a lock above.
    """
    lock_policies()
    organisation.refresh_from_db()
    if locked is None:
        locked = organisation.archival_locked and archival == Archival.LIMIT
    check_archival(organisation, archival=archival, days=days, locked=locked, by=by)
    if (organisation.archival, organisation.archive_after_days, organisation.archival_locked) == (
        archival,
        days,
        locked,
    ):
        return False
    before = archival_policy(organisation)
    organisation.archival, organisation.archive_after_days, organisation.archival_locked = archival, days, locked
    organisation.save(update_fields=["archival", "archive_after_days", "archival_locked"])
    resolve(organisation, now=now)
    organisation.refresh_from_db()
    record("retention.changed", organisation, by=by, before=before, after=archival_policy(organisation))
    return True


def check_archival(
    organisation: Organisation, *, archival: str, days: int | None, locked: bool, by: Actor | None
) -> None:
    """Raise ``ValidationError`` unless the organisation may be set to this; see ``set_archival``."""
    if archival not in Archival.values:
        raise refusal("archival", _("Choose inherit, keep or limit."), code="invalid")
    if archival == Archival.LIMIT:
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= LONGEST_LIMIT_DAYS:
            message = _("Give a whole number of days, 1 to %(most)s.") % {"most": LONGEST_LIMIT_DAYS}
            raise refusal("archive_after_days", message, code="invalid")
    elif days is not None:
        raise refusal("archive_after_days", _("Days go with a limit only."), code="invalid")
    if locked and archival != Archival.LIMIT:
        raise refusal("archival_locked", _("Only a limit can be locked."), code="not_lockable")
    lock = archival_lock_above(organisation)
    bound = lock.archive_after_days if lock is not None else None
    if lock is not None and bound is not None and archival != Archival.INHERIT and (days is None or days > bound):
        field = "archive_after_days" if days else "archival"
        values = {"name": name_for(lock, by), "days": bound}
        message = ngettext(
            "%(name)s locks this setting: at most %(days)s day.",
            "%(name)s locks this setting: at most %(days)s days.",
            bound,
        )
        raise refusal(field, message % values, code="locked")


def archival_lock_above(organisation: Organisation) -> Organisation | None:
    """Return the organisation above whose locked limit is the strictest, or None."""
    above = Organisation.objects.above(organisation).exclude(pk=organisation.pk)
    return above.filter(archival_locked=True).order_by("archive_after_days", "depth").first()


def archival_policy(organisation: Organisation) -> dict[str, Any]:
    """Return what an audit line tells of the archival setting; effective days None: everything is kept."""
    return {
        "archival": organisation.archival,
        "archive_after_days": organisation.archive_after_days,
        "locked": organisation.archival_locked,
        "effective_days": organisation.effective_archive_after_days,
    }
