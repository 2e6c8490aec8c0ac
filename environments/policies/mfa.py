"""Require MFA: what an organisation can set, how it resolves down the tree, who can change it.

The value, its part of the one UPDATE, and what locks above forbid; its columns are in ``models/organisations.py``.
``services.set_require_mfa`` writes an own value; ``mfa_schedule.schedule_mfa`` lets On wait for a date, as an
``MfaChange``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

from environments.caller import Caller
from environments.choices import CallerKind, MfaSetting, Permission
from environments.models import MfaChange, Organisation
from environments.policies.field_errors import field_error, name_for

CHANGED_BY = Permission.CHANGE_ADVANCED_SETTINGS  # needed to change it; people with it are mailed of changes
COLUMNS = ("require_mfa", "require_mfa_locked")


@dataclass(frozen=True, slots=True)
class MfaRule:
    """Whether multi-factor authentication is required: inherit, on or off; and whether that is locked.

    A lock keeps it on for everything below; only on can be locked. Raises ``ValidationError`` for malformed values.
    """

    value: str
    locked: bool = False

    def __post_init__(self) -> None:
        if self.value not in MfaSetting.values:
            raise field_error("require_mfa", _("Choose inherit, on or off."), code="invalid")
        if self.locked and self.value != MfaSetting.ON:
            raise field_error("require_mfa_locked", _("Only the value on can be locked."), code="not_lockable")

    @classmethod
    def inherit(cls) -> "MfaRule":
        return cls(MfaSetting.INHERIT)

    @classmethod
    def on(cls, *, locked: bool = False) -> "MfaRule":
        return cls(MfaSetting.ON, locked)

    @classmethod
    def off(cls) -> "MfaRule":
        return cls(MfaSetting.OFF)

    @classmethod
    def of(cls, organisation: Organisation) -> "MfaRule":
        """Return the organisation's own value."""
        return cls(organisation.require_mfa, organisation.require_mfa_locked)

    @classmethod
    def effective_in(cls, organisation: Organisation) -> "MfaRule":
        """Return the effective value in the organisation: on or off."""
        return cls.on() if organisation.effective_require_mfa else cls.off()

    @classmethod
    def strictest(cls, rules: "Iterable[MfaRule]") -> "MfaRule":
        """Return the strictest: on before off before inherit, of equal ones the first; inherit if there is none."""
        return min(rules, key=lambda one: one.strictness, default=cls.inherit())

    @classmethod
    def resolve(cls, chain: "Iterable[MfaRule]") -> "MfaRule":
        """Return the effective value at the end of a chain of own values, the root's first: on or off, not locked.

        The nearest own value wins, and a lock above keeps it on; ``FOUND`` and ``RESOLVED`` say the same in SQL.
        """
        own = [one for one in chain if one.value != MfaSetting.INHERIT]
        strictest = cls.strictest([*own[-1:], *(one for one in own if one.locked)])
        return cls.on() if strictest.is_on else cls.off()

    @property
    def is_on(self) -> bool:
        return self.value == MfaSetting.ON

    @property
    def strictness(self) -> int:
        return (MfaSetting.ON, MfaSetting.OFF, MfaSetting.INHERIT).index(MfaSetting(self.value))

    def with_lock_of(self, own: "MfaRule") -> "MfaRule":
        """Return the same value with the lock of ``own`` if it is on; any other value cannot be locked."""
        return replace(self, locked=own.locked and self.is_on)

    def write_to(self, organisation: Organisation) -> None:
        """Set the organisation's own value to this; the caller saves ``COLUMNS``."""
        organisation.require_mfa, organisation.require_mfa_locked = self.value, self.locked

    def as_json(self) -> dict[str, Any]:
        """Return it as events and scheduled changes store it."""
        return {"require_mfa": self.value, "locked": self.locked}


# Its part of the one UPDATE in ``resolve.py``. FOUND aggregates over ``a``: each organisation itself and those above.
FOUND = """
      (array_agg(a.require_mfa ORDER BY a.depth DESC) FILTER (WHERE a.require_mfa <> 'inherit'))[1] AS near_mfa,
      (array_agg(a.id ORDER BY a.depth DESC) FILTER (WHERE a.require_mfa <> 'inherit'))[1] AS near_mfa_id,
      (array_agg(a.id ORDER BY a.depth) FILTER (WHERE a.require_mfa_locked))[1] AS mfa_lock"""
RESOLVED = """
    COALESCE(near_mfa = 'on', false) OR mfa_lock IS NOT NULL AS mfa,
    CASE WHEN near_mfa IS DISTINCT FROM 'on' AND mfa_lock IS NOT NULL
         THEN mfa_lock ELSE near_mfa_id END AS mfa_source"""
WRITTEN = """
  effective_require_mfa = e.mfa,
  require_mfa_source_id = e.mfa_source"""
DIFFERS = "(o.effective_require_mfa, o.require_mfa_source_id) IS DISTINCT FROM (e.mfa, e.mfa_source)"


def check_mfa(organisation: Organisation, to: MfaRule, *, by: Caller) -> None:
    """Raise ``ValidationError`` if a lock above keeps the organisation on and ``to`` is off."""
    lock = mfa_lock_above(organisation)
    if to.value == MfaSetting.OFF and lock is not None:
        message = _("%(name)s locks this setting: it stays on.") % {"name": name_for(lock, by)}
        raise field_error("require_mfa", message, code="locked")


def mfa_lock_above(organisation: Organisation) -> Organisation | None:
    """Return the uppermost organisation above that locks MFA on, or None."""
    above = Organisation.objects.above(organisation).exclude(pk=organisation.pk)
    return above.filter(require_mfa_locked=True).first()


def is_organisation_key(by: Caller) -> bool:
    """Return whether ``by`` is an organisation's own key, which can tighten the requirement and never loosen it."""
    return by.kind == CallerKind.ORGANISATION_KEY


def refuse_to_loosen(by: Caller) -> None:
    """Raise ``PermissionDenied`` if ``by`` is an organisation's own key; call it for loosening changes."""
    if is_organisation_key(by):
        raise PermissionDenied(_("A key of an organisation cannot loosen the multi-factor requirement."))


def loosens_mfa(own: MfaRule, scheduled: MfaChange | None, *, to: MfaRule) -> bool:
    """Return whether ``to`` requires less than the organisation's own value now, or than what it has scheduled.

    Inherit in place of on is less, also while on is inherited: the organisation above can switch it off any day.
    """
    if to.is_on:
        return not to.locked and (own.locked or (scheduled is not None and scheduled.locked))
    return own.is_on or scheduled is not None or (to.value == MfaSetting.OFF and own.value != MfaSetting.OFF)


def mfa_as_json(organisation: Organisation) -> dict[str, Any]:
    """Return the setting of the organisation as events store it."""
    return {**MfaRule.of(organisation).as_json(), "effective": MfaRule.effective_in(organisation).is_on}
