"""Kinds of organisations, roles, and the permissions of each role."""

from datetime import timedelta
from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext


class Kind(models.TextChoices):
    """The ranks of the tree, from the top down; a child's rank is always lower than its parent's."""

    MARKET = "market", _("market")
    DISTRIBUTOR = "distributor", _("distributor")
    AGENCY = "agency", _("agency")
    CUSTOMER = "customer", _("customer")
    ENVIRONMENT = "environment", _("environment")

    @property
    def rank(self) -> int:
        return list(Kind).index(self)

    def counted(self, count: int) -> str:
        """Return the name of this kind in the singular or plural that ``count`` needs."""
        forms = {
            Kind.MARKET: ngettext("market", "markets", count),
            Kind.DISTRIBUTOR: ngettext("distributor", "distributors", count),
            Kind.AGENCY: ngettext("agency", "agencies", count),
            Kind.CUSTOMER: ngettext("customer", "customers", count),
            Kind.ENVIRONMENT: ngettext("environment", "environments", count),
        }
        return forms[self]


ROOT_KINDS = frozenset({Kind.MARKET, Kind.DISTRIBUTOR, Kind.AGENCY})


class MfaSetting(models.TextChoices):
    INHERIT = "inherit", _("Inherit")
    ON = "on", _("On")
    OFF = "off", _("Off")


class ScheduleState(models.TextChoices):
    """The state of a scheduled requirement."""

    PENDING = "pending", _("pending")
    APPLIED = "applied", _("applied")
    CANCELLED = "cancelled", _("cancelled")
    REPLACED = "replaced", _("replaced")


class Reminder(models.TextChoices):
    """The reminders to a member who will need a second factor; each is sent once."""

    FIRST = "first", _("a week ahead, or at once where the date is nearer")
    LAST = "last", _("a day ahead")


class Archival(models.TextChoices):
    INHERIT = "inherit", _("Inherit")
    KEEP = "keep", _("Keep")
    LIMIT = "limit", _("Limit")


LONGEST_LIMIT_DAYS = 3650


class DomainProof(models.TextChoices):
    """How a domain was verified."""

    DNS = "dns", _("DNS record")
    WORD = "super user", _("a super user")


class DnsAnswer(models.TextChoices):
    """The result of looking for a domain's DNS record."""

    FOUND = "found", _("The record is there.")
    NO_NAME = "no name", _("The DNS says that there is no such name yet. A new record can take an hour to show.")
    NO_TXT = "no txt", _("The name is there, but it has no TXT record.")
    OTHER_VALUE = (
        "other value",
        _("There is a TXT record, but none with this value. Is a part of it missing?"),
    )
    SERVER_FAILED = "server failed", _("The domain's name servers answered with an error. That may pass by itself.")
    NO_ANSWER = "no answer", _("The domain's name servers did not answer in time. Try again later.")
    TAKEN = "taken", _("The record is there, but another organisation has verified this domain.")

    @property
    def is_missing(self) -> bool:
        """Return whether the DNS said for certain that the record is not there."""
        return self in {DnsAnswer.NO_NAME, DnsAnswer.NO_TXT, DnsAnswer.OTHER_VALUE}


class DomainNews(StrEnum):
    """The events of a domain that administrators are mailed about."""

    ADDED = "added"
    PROVEN = "proven"
    MISSING = "missing"
    FOUND_AGAIN = "found again"
    LAPSED = "lapsed"
    REMOVED = "removed"
    UNCONFIRMED = "unconfirmed"


DOMAIN_GRACE = timedelta(days=7)  # a verified domain stays verified for so long without its record


class ProviderState(models.TextChoices):
    """The state of an organisation's own identity provider."""

    DRAFT = "draft", _("must be tried")
    TRIED = "tried", _("tried")
    ON = "on", _("on")
    OFF = "off", _("off")


class KeySuspension(models.TextChoices):
    """Why an organisation's own key is suspended."""

    LOST = "lost", _("The responsible person lost the permissions")
    GONE = "gone", _("The responsible person has left")
    HELD = "held", _("The responsible person must add a second factor")


class CallerKind(StrEnum):
    """The kinds of callers (``environments.caller``)."""

    PERSON = "person"
    PERSONAL_KEY = "personal_key"
    ORGANISATION_KEY = "organisation_key"
    IMPERSONATOR = "impersonator"
    SYSTEM = "system"
    NOBODY = "nobody"


class Permission(models.TextChoices):
    """What a role allows in an organisation and everything below it."""

    VIEW = "view", _("see that it exists")
    READ_CONVERSATIONS = "read_conversations", _("read conversations and contacts")
    INGEST = "ingest", _("store conversations")
    CHANGE_SETTINGS = "change_settings", _("change the general settings")
    CHANGE_ADVANCED_SETTINGS = "change_advanced_settings", _("change the advanced settings")
    MANAGE_MEMBERS = "manage_members", _("manage members")
    ANSWER_ACCESS_REQUESTS = "answer_access_requests", _("answer access requests")
    READ_AUDIT_LOG = "read_audit_log", _("read the audit log")
    USE_API_KEYS = "use_api_keys", _("use API keys of their own")
    HOLD = "hold", _("place and release holds")
    ERASE = "erase", _("erase contacts")
    EXPORT = "export", _("export data")
    IMPERSONATE = "impersonate", _("impersonate members")
    CREATE = "create", _("create organisations below")
    DELETE = "delete", _("delete organisations")
    MANAGE_API_KEYS = "manage_api_keys", _("manage the organisation's API keys")
    MANAGE_PROVIDERS = "manage_providers", _("manage the organisation's identity providers")


class Role(models.TextChoices):
    ADMINISTRATOR = "administrator", _("Administrator")
    ORGANISATION_MANAGER = "organisation_manager", _("Organisation manager")
    ENVIRONMENT_MANAGER = "environment_manager", _("Environment manager")
    DEVELOPER = "developer", _("Developer")
    MEMBER = "member", _("Member")

    @property
    def permissions(self) -> frozenset[Permission]:
        return PERMISSIONS[self]

    @property
    def allows(self) -> str:
        """What its permissions allow, in a sentence for whoever chooses the role or is invited to it."""
        return str(_ALLOWS[self])


_MEMBER = frozenset({Permission.VIEW, Permission.READ_CONVERSATIONS})
_DEVELOPER = frozenset({Permission.VIEW, Permission.INGEST, Permission.USE_API_KEYS})
_ENVIRONMENT_MANAGER = _MEMBER | {
    Permission.CHANGE_SETTINGS,
    Permission.MANAGE_MEMBERS,
    Permission.ANSWER_ACCESS_REQUESTS,
    Permission.READ_AUDIT_LOG,
    Permission.USE_API_KEYS,
}
_ORGANISATION_MANAGER = _ENVIRONMENT_MANAGER | {Permission.CHANGE_ADVANCED_SETTINGS}

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.ADMINISTRATOR: frozenset(Permission),
    Role.ORGANISATION_MANAGER: _ORGANISATION_MANAGER,
    Role.ENVIRONMENT_MANAGER: _ENVIRONMENT_MANAGER,
    Role.DEVELOPER: _DEVELOPER,
    Role.MEMBER: _MEMBER,
}
_ALLOWS = {
    Role.ADMINISTRATOR: _(
        "Everything that other roles can, and place legal holds, export data, erase contacts, impersonate members,"
        " create and delete organisations, and manage their API keys and identity providers."
    ),
    Role.ORGANISATION_MANAGER: _(
        "Change the advanced settings, and everything that an Environment manager can: read conversations and contacts,"
        " change the general settings, manage members, answer access requests, read the audit log, and use API keys of"
        " their own."
    ),
    Role.ENVIRONMENT_MANAGER: _(
        "Read conversations and contacts, change the general settings, manage members, answer access requests, read the"
        " audit log, and use API keys of their own."
    ),
    Role.DEVELOPER: _("Store conversations, and use API keys of their own; not read what is stored."),
    Role.MEMBER: _("Read conversations and contacts."),
}


# These require a session that is stepped up.
SENSITIVE: frozenset[Permission] = frozenset(
    {
        Permission.CHANGE_ADVANCED_SETTINGS,
        Permission.HOLD,
        Permission.ERASE,
        Permission.EXPORT,
        Permission.IMPERSONATE,
        Permission.DELETE,
        Permission.MANAGE_API_KEYS,
        Permission.MANAGE_PROVIDERS,
    }
)


def are_sensitive(roles: "list[str] | set[str] | frozenset[str]") -> bool:
    """Return whether one of the roles has a permission that requires step-up.

    Giving such a role requires step-up too: otherwise the thief of a session could give it to an accomplice.
    """
    return not permissions_of(roles).isdisjoint(SENSITIVE)


def labels_of(roles: list[str]) -> list[str]:
    """Return the names of the roles, the highest first."""
    return [str(role.label) for role in Role if role.value in roles]


def permissions_of(roles: "list[str] | set[str] | frozenset[str]") -> frozenset[Permission]:
    """Return all permissions of these roles; a role that this release does not know has none."""
    known = [PERMISSIONS[Role(role)] for role in roles if role in Role.values]
    return frozenset().union(*known)
