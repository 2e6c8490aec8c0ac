"""What a bulk change sets in an environment, as a value and as JSON."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from environments.models import Organisation
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention

RETENTION, MFA = "archival", "require_mfa"  # the settings, as keys of JSON


@dataclass(frozen=True, slots=True)
class Wanted:
    """The own values to set, and from when (None: now); a setting that is None stays as it is."""

    retention: Retention | None = None
    retention_from: datetime | None = None
    mfa: MfaRule | None = None
    mfa_from: datetime | None = None

    def __bool__(self) -> bool:
        return self.retention is not None or self.mfa is not None

    def in_environment(self, environment: Organisation) -> Self:
        """Return the same with the environment's own locks, which a bulk change leaves as they are."""
        retention = self.retention and self.retention.with_lock_of(Retention.of(environment))
        return replace(self, retention=retention, mfa=self.mfa and self.mfa.with_lock_of(MfaRule.of(environment)))

    def at(self, now: datetime) -> Self:
        """Return the same without the dates that have passed: those values are set at once."""
        dates = {name: getattr(self, name) for name in ("retention_from", "mfa_from")}
        return replace(self, **{name: None for name, at in dates.items() if at is not None and at <= now})

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.retention is not None:
            found[RETENTION] = retention_as_json(self.retention) | _from_as_json(self.retention_from)
        if self.mfa is not None:
            found[MFA] = mfa_as_json(self.mfa) | _from_as_json(self.mfa_from)
        return found

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        retention, mfa = stored.get(RETENTION), stored.get(MFA)
        return cls(retention and retention_of(retention), _from_of(retention), mfa and mfa_of(mfa), _from_of(mfa))


def retention_as_json(value: Retention) -> dict[str, Any]:
    return {"archival": value.archival, "days": value.days, "locked": value.locked}


def retention_of(stored: dict[str, Any]) -> Retention:
    return Retention(stored["archival"], stored["days"], stored["locked"])


def mfa_as_json(value: MfaRule) -> dict[str, Any]:
    return {"value": value.value, "locked": value.locked}


def mfa_of(stored: dict[str, Any]) -> MfaRule:
    return MfaRule(stored["value"], stored["locked"])


def _from_as_json(at: datetime | None) -> dict[str, str]:
    return {"from": at.isoformat()} if at else {}


def _from_of(stored: dict[str, Any] | None) -> datetime | None:
    return datetime.fromisoformat(stored["from"]) if stored and "from" in stored else None
