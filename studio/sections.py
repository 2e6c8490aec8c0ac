"""The plan of the side bar: its groups, their entries in order, and which pages belong to each entry.

It is the same for environments and for the organisations above them: an entry that does not exist for a kind is left
out. A page that is neither an entry nor inside one fails ``tests/studio/test_side_bar.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from environments.choices import Kind, Permission

ENVIRONMENT = frozenset({Kind.ENVIRONMENT})
ABOVE_ENVIRONMENTS = frozenset(Kind) - ENVIRONMENT


@dataclass(frozen=True, slots=True)
class Page:
    """A page that the frame links to for those with ``permission``, if this installation has the page.

    ``inside`` are the names of further pages, such as details, on which its entry is the current one.
    """

    label: str | Promise
    view_name: str
    icon: str
    permission: Permission = Permission.VIEW
    inside: Sequence[str] = ()
    kinds: frozenset[Kind] = frozenset(Kind)

    def has(self, view_name: str) -> bool:
        """Return whether the page with this name is the entry's own, or inside it."""
        return view_name == self.view_name or view_name in self.inside


HOME = Page(_("Home"), "environments:home", "house")
CONVERSATIONS = (
    Page(
        _("Conversations"),
        "conversations:list",
        "message-square",
        Permission.READ_CONVERSATIONS,
        inside=("conversations:detail", "conversations:text"),
        kinds=ENVIRONMENT,
    ),
    Page(
        _("Contacts"),
        "conversations:contacts",
        "contact",
        Permission.READ_CONVERSATIONS,
        inside=("conversations:contact", "conversations:export-contact", "archival:erase-contact"),
        kinds=ENVIRONMENT,
    ),
)
ACCESS_REQUESTS = Page(
    _("Access requests"),
    "environments:access-requests",
    "log-in",
    Permission.ANSWER_ACCESS_REQUESTS,
    inside=("environments:answer-access-request",),
)
MANAGEMENT = (
    Page(
        _("Members"),
        "environments:members",
        "users",
        Permission.MANAGE_MEMBERS,
        inside=(
            "environments:member",
            "environments:remove-member",
            "environments:reset-factors",
            "environments:impersonate",
            "environments:change-invitation",
            "environments:invitation-links",
            "environments:invite-list",
            "environments:revoke-invitation-link",
        ),
    ),
    ACCESS_REQUESTS,
    Page(
        _("Settings"),
        "environments:settings",
        "sliders-horizontal",
        Permission.CHANGE_SETTINGS,
        inside=(
            "environments:change-domains",
            "environments:change-slug",
            "environments:check-domain",
            "archival:delete-organisation",
            "archival:exports",
            "archival:export",
            "archival:withdraw-export",
        ),
    ),
    Page(
        _("Advanced settings"),
        "studio:advanced-settings",
        "shield-check",
        Permission.CHANGE_ADVANCED_SETTINGS,
    ),
    Page(
        _("Retention ledger"),
        "archival:ledger",
        "history",
        Permission.READ_AUDIT_LOG,
        inside=(
            "archival:ages",
            "archival:run",
            "archival:progress",
            "archival:holds",
            "archival:release-hold",
            "archival:erased",
            "archival:erasure",
            "archival:apply-change",
            "archival:cancel-change",
            "archival:confirm-guard",
        ),
    ),
    Page(
        _("API keys"),
        "environments:organisation-keys",
        "braces",
        Permission.MANAGE_API_KEYS,
        inside=("environments:revoke-organisation-key", "environments:take-over-organisation-key"),
    ),
    Page(
        _("Identity providers"),
        "environments:providers",
        "id-card",
        Permission.MANAGE_PROVIDERS,
        inside=(
            "environments:provider",
            "environments:try-provider",
            "environments:turn-on-provider",
            "environments:turn-off-provider",
            "environments:delete-provider",
        ),
    ),
    Page(_("Audit log"), "environments:audit", "scroll-text", Permission.READ_AUDIT_LOG),
)
PENDING_CHANGES = Page(_("Pending changes"), "agencies:pending-changes", "clock")
ADMINISTRATION = (
    Page(
        _("Environments"),
        "agencies:environments",
        "layers",
        inside=("agencies:change-environments", "agencies:bulk-change", "agencies:revert-bulk-change"),
        kinds=ABOVE_ENVIRONMENTS,
    ),
    PENDING_CHANGES,
    Page(
        _("Users"),
        "agencies:users",
        "users-round",
        Permission.MANAGE_MEMBERS,
        inside=("agencies:user", "agencies:remove-user"),
        kinds=ABOVE_ENVIRONMENTS,
    ),
    Page(
        _("Organisation"),
        "environments:organisation",
        "building-2",
        inside=(
            "environments:organisations",
            "deletion",
            "agencies:create",
            "agencies:create-list",
            "agencies:delete-template",
            "agencies:move",
            "agencies:new-template",
            "agencies:suspend",
            "agencies:template",
            "agencies:templates",
        ),
    ),
    Page(
        _("Compliance"),
        "agencies:compliance",
        "chart-column",
        Permission.READ_AUDIT_LOG,
        inside=(
            "agencies:compliance-people",
            "agencies:compliance-access",
            "agencies:compliance-keys",
            "agencies:compliance-providers",
            "agencies:remind-people",
        ),
    ),
    Page(_("Usage"), "agencies:usage", "chart-no-axes-column", Permission.READ_AUDIT_LOG),
)
PLATFORM = (  # for super users alone
    Page(_("Top of the tree"), "agencies:roots", "network"),
    Page(_("Slowed log-ins"), "accounts:slowed", "timer"),
    Page(_("Platform audit log"), "environments:platform-audit", "scroll-text"),
)
SECTIONS = (HOME, *CONVERSATIONS, *MANAGEMENT, *ADMINISTRATION)  # all that can be of an organisation
PROFILE = (
    Page(
        _("Profile"),
        "accounts:profile",
        "user",
        inside=("accounts:change-email", "accounts:confirm-email", "environments:leave"),
    ),
    Page(
        _("Security"),
        "accounts:security",
        "key-round",
        inside=(
            "accounts:second-factor-soon",
            "accounts:step-up",
            "accounts:go-on",
            "accounts:change-password",
            "accounts:end-other-sessions",
            "accounts:remove-factor",
            "accounts:rename-factor",
            "accounts:make-recovery-codes",
            "accounts:new-recovery-codes",
            "accounts:unlink-identity",
        ),
    ),
    Page(_("API keys"), "environments:api-keys", "braces", inside=("environments:revoke-api-key",)),
)


def section_of(view_name: str) -> Page:
    """Return the entry of an organisation's side bar that a page is, or is inside; ``HOME`` for any other page."""
    return next((section for section in SECTIONS if section.has(view_name)), HOME)
