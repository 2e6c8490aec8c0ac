"""What a template has, as one value: what a form asks for, what is stored, and what two people compare."""

from dataclasses import dataclass, field
from typing import Any, Self

from agencies.models import OrganisationTemplate
from environments.choices import labels_of
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from web.addresses import readable


@dataclass(frozen=True, slots=True)
class TemplateValues:
    """``members`` are the roles of people, by their e-mail address."""

    name: str
    retention: Retention = field(default_factory=Retention.inherit)
    mfa: MfaRule = field(default_factory=MfaRule.inherit)
    auto_invite_roles: list[str] = field(default_factory=list)
    members: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, template: OrganisationTemplate) -> Self:
        """Return what is stored; one query, unless members and their users were fetched already."""
        return cls(
            template.name,
            retention_of(template),
            mfa_of(template),
            template.auto_invite_roles,
            {
                member.user.email: member.roles
                for member in sorted(template.members.all(), key=lambda one: one.user.email)
            },
        )

    @property
    def roles(self) -> set[str]:
        """All roles that somebody gets by the template."""
        return {*self.auto_invite_roles, *(role for roles in self.members.values() for role in roles)}

    @property
    def auto_invite_labels(self) -> list[str]:
        return labels_of(self.auto_invite_roles)

    @property
    def member_labels(self) -> list[tuple[str, list[str]]]:
        return [(readable(email), labels_of(roles)) for email, roles in self.members.items()]

    def as_json(self) -> dict[str, Any]:
        """Return it as the audit log stores it."""
        return {
            "name": self.name,
            "archival": self.retention.archival,
            "archive_after_days": self.retention.days,
            "archival_locked": self.retention.locked,
            "require_mfa": self.mfa.value,
            "require_mfa_locked": self.mfa.locked,
            "auto_invite_roles": self.auto_invite_roles,
            "members": [f"{email}: {' + '.join(roles)}" for email, roles in self.members.items()],
        }


def retention_of(template: OrganisationTemplate) -> Retention:
    return Retention(template.archival, template.archive_after_days, template.archival_locked)


def mfa_of(template: OrganisationTemplate) -> MfaRule:
    return MfaRule(template.require_mfa, template.require_mfa_locked)
