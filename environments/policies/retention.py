"""Customize conversation archival: what an organisation can set, how it resolves down the tree, who can change it.

The value, its part of the one UPDATE, and what locks above forbid; its columns are in ``models/organisations.py``.
``services.set_retention`` writes an own value; ``archival.policy.services.change_retention`` decides when, because a
shorter limit deletes data, and schedules it as a ``PolicyChange``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from environments.caller import Caller
from environments.choices import LONGEST_LIMIT_DAYS, Archival, Permission
from environments.models import Organisation
from environments.policies.field_errors import field_error, name_for

CHANGED_BY = Permission.CHANGE_ADVANCED_SETTINGS  # needed to change it; people with it are mailed of changes
COLUMNS = ("archival", "archive_after_days", "archival_locked")


@dataclass(frozen=True, slots=True)
class Retention:
    """How long conversation data is kept: inherit, keep, or limit with days; and whether that is locked.

    A lock bounds everything below; only a limit can be locked. Raises ``ValidationError`` for malformed values.
    """

    archival: str
    days: int | None = None  # 1..3650 with a limit, else None
    locked: bool = False

    def __post_init__(self) -> None:
        if self.archival not in Archival.values:
            raise field_error("archival", _("Choose inherit, keep or limit."), code="invalid")
        if self.archival == Archival.LIMIT:
            if not isinstance(self.days, int) or self.days is True or not 1 <= self.days <= LONGEST_LIMIT_DAYS:
                message = _("Give a whole number of days, 1 to %(most)s.") % {"most": LONGEST_LIMIT_DAYS}
                raise field_error("archive_after_days", message, code="invalid")
        elif self.days is not None:
            raise field_error("archive_after_days", _("Days go with a limit only."), code="invalid")
        if self.locked and self.archival != Archival.LIMIT:
            raise field_error("archival_locked", _("Only a limit can be locked."), code="not_lockable")

    @classmethod
    def inherit(cls) -> "Retention":
        return cls(Archival.INHERIT)

    @classmethod
    def keep(cls) -> "Retention":
        return cls(Archival.KEEP)

    @classmethod
    def limit(cls, days: int, *, locked: bool = False) -> "Retention":
        return cls(Archival.LIMIT, days, locked)

    @classmethod
    def of(cls, organisation: Organisation) -> "Retention":
        """Return the organisation's own value."""
        return cls(organisation.archival, organisation.archive_after_days, organisation.archival_locked)

    @classmethod
    def effective_in(cls, organisation: Organisation) -> "Retention":
        """Return the effective value in the organisation: keep or a limit."""
        days = organisation.effective_archive_after_days
        return cls.keep() if days is None else cls.limit(days)

    @classmethod
    def strictest(cls, retentions: "Iterable[Retention]") -> "Retention":
        """Return the one that deletes the earliest, of equal ones the first; inherit if there is none."""
        return min(retentions, key=lambda one: one.strictness, default=cls.inherit())

    @classmethod
    def resolve(cls, chain: "Iterable[Retention]") -> "Retention":
        """Return the effective value of a chain of own values, the root's first: keep or a limit, not locked.

        The nearest own value wins, and each lock above bounds it; ``FOUND`` and ``RESOLVED`` say the same in SQL.
        """
        own = [one for one in chain if one.archival != Archival.INHERIT]
        strictest = cls.strictest([*own[-1:], *(one for one in own if one.locked)])
        return cls.keep() if strictest.archival == Archival.INHERIT else replace(strictest, locked=False)

    @property
    def strictness(self) -> tuple[int, int]:
        """A key to sort by how early data is deleted: limits by their days, then keep, then inherit."""
        order = (Archival.LIMIT, Archival.KEEP, Archival.INHERIT)
        return order.index(Archival(self.archival)), self.days or 0

    def with_lock_of(self, own: "Retention") -> "Retention":
        """Return the same value with the lock of ``own`` if it is a limit; any other value cannot be locked."""
        return replace(self, locked=own.locked and self.archival == Archival.LIMIT)

    def write_to(self, organisation: Organisation) -> None:
        """Set the organisation's own value to this; the caller saves ``COLUMNS``."""
        organisation.archival, organisation.archive_after_days = self.archival, self.days
        organisation.archival_locked = self.locked

    def as_json(self) -> dict[str, Any]:
        """Return it as events and pending changes store it."""
        return {"archival": self.archival, "archive_after_days": self.days, "locked": self.locked}


# Its part of the one UPDATE in ``resolve.py``. FOUND aggregates over ``a``: each organisation itself and those above.
FOUND = """
      (array_agg(a.archive_after_days ORDER BY a.depth DESC) FILTER (WHERE a.archival <> 'inherit'))[1] AS near_days,
      (array_agg(a.id ORDER BY a.depth DESC) FILTER (WHERE a.archival <> 'inherit'))[1] AS near_archival_id,
      min(a.archive_after_days) FILTER (WHERE a.archival_locked) AS lock_days,
      (array_agg(a.id ORDER BY a.archive_after_days, a.depth) FILTER (WHERE a.archival_locked))[1] AS days_lock"""
RESOLVED = """
    LEAST(near_days, lock_days) AS days,
    CASE WHEN lock_days IS NOT NULL AND (near_days IS NULL OR lock_days < near_days)
         THEN days_lock ELSE near_archival_id END AS days_source"""
WRITTEN = """
  effective_archive_after_days = e.days,
  archival_source_id = e.days_source,
  archival_since = CASE WHEN o.effective_archive_after_days IS DISTINCT FROM e.days
                        THEN %(now)s ELSE o.archival_since END,
  archival_tightened_at = CASE WHEN e.days < COALESCE(o.effective_archive_after_days, 32767) THEN %(now)s
                               ELSE COALESCE(o.archival_tightened_at, o.archival_since) END,
  archival_days_before = CASE
    WHEN e.days < COALESCE(o.effective_archive_after_days, 32767) IS NOT TRUE THEN o.archival_days_before
    -- Twice within the hour that the purge has: the looser of both, so that nothing is late too soon.
    WHEN COALESCE(o.archival_tightened_at, o.archival_since) <= %(now)s - interval '1 hour'
    THEN o.effective_archive_after_days
    WHEN o.archival_days_before IS NOT NULL AND o.effective_archive_after_days IS NOT NULL
    THEN GREATEST(o.archival_days_before, o.effective_archive_after_days) END"""
DIFFERS = "(o.effective_archive_after_days, o.archival_source_id) IS DISTINCT FROM (e.days, e.days_source)"


def check_retention(organisation: Organisation, to: Retention, *, by: Caller) -> None:
    """Raise ``ValidationError`` if ``to`` is looser than a lock above allows."""
    lock = retention_lock_above(organisation)
    if lock is None or to.archival == Archival.INHERIT:
        return
    bound = Retention.of(lock)
    if bound.strictness < to.strictness:
        field = "archive_after_days" if to.days else "archival"
        values = {"name": name_for(lock, by), "days": bound.days}
        message = ngettext(
            "%(name)s locks this setting: at most %(days)s day.",
            "%(name)s locks this setting: at most %(days)s days.",
            bound.days or 0,
        )
        raise field_error(field, message % values, code="locked")


def retention_lock_above(organisation: Organisation) -> Organisation | None:
    """Return the organisation above whose locked limit is the strictest, or None."""
    above = Organisation.objects.above(organisation).exclude(pk=organisation.pk)
    return above.filter(archival_locked=True).order_by("archive_after_days", "depth").first()


def retention_as_json(organisation: Organisation) -> dict[str, Any]:
    """Return the setting of the organisation as events store it; effective days None: everything is kept."""
    return {**Retention.of(organisation).as_json(), "effective_days": Retention.effective_in(organisation).days}
