"""The context of the frame around every page: theme, current organisation, and navigation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, cast

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.choices import OpenedBy
from accounts.models import User
from accounts.requirement import has_factor
from archival.evidence.warnings import Warnings, warnings_below, warnings_of_all
from environments.choices import Kind, Permission
from environments.models import AccessRequest, Membership, Organisation
from environments.policies.mfa_reach import next_requirement
from studio.theme import theme_of


@dataclass(frozen=True, slots=True)
class Page:
    """A page that the frame links to for those with ``permission``, if this installation has the page."""

    label: str | Promise
    view_name: str
    icon: str
    permission: Permission = Permission.VIEW


@dataclass(frozen=True, slots=True)
class Entry:
    """A link of the side bar, for this viewer and this request."""

    label: str | Promise
    icon: str
    address: str
    is_current: bool
    count: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    title: str | Promise
    entries: Sequence[Entry]


HOME = Page(_("Home"), "environments:home", "house")
CONVERSATIONS = (
    Page(
        _("Conversations"),
        "conversations:list",
        "message-square",
        Permission.READ_CONVERSATIONS,
    ),
    Page(
        _("Contacts"),
        "conversations:contacts",
        "contact",
        Permission.READ_CONVERSATIONS,
    ),
)
ACCESS_REQUESTS = Page(
    _("Access requests"),
    "environments:access-requests",
    "log-in",
    Permission.ANSWER_ACCESS_REQUESTS,
)
MANAGEMENT = (
    Page(_("Members"), "environments:members", "users", Permission.MANAGE_MEMBERS),
    ACCESS_REQUESTS,
    Page(
        _("Settings"),
        "environments:settings",
        "sliders-horizontal",
        Permission.CHANGE_SETTINGS,
    ),
    Page(
        _("Advanced settings"),
        "studio:advanced-settings",
        "shield-check",
        Permission.CHANGE_ADVANCED_SETTINGS,
    ),
    Page(_("Retention ledger"), "archival:ledger", "history", Permission.READ_AUDIT_LOG),
    Page(_("API keys"), "environments:organisation-keys", "braces", Permission.MANAGE_API_KEYS),
    Page(_("Audit log"), "environments:audit", "scroll-text", Permission.READ_AUDIT_LOG),
)
ADMINISTRATION = (
    Page(_("Organisation"), "environments:organisation", "building-2"),
    Page(_("Compliance"), "archival:compliance", "chart-column"),
)
PLATFORM = (Page(_("Slowed log-ins"), "accounts:slowed", "timer"),)  # for super users alone
PROFILE = (
    Page(_("Profile"), "accounts:profile", "user"),
    Page(_("Security"), "accounts:security", "key-round"),
    Page(_("API keys"), "environments:api-keys", "braces"),
)


PAGES_ABOUT_SECOND_FACTOR = frozenset({"accounts:second-factor-soon", "accounts:enrol"})


def address(view_name: str, slug: str | None = None) -> str | None:
    """Return a page's address, below the organisation ``slug`` if it has one there; None if there is no such page."""
    for arguments in ([slug] if slug else [], []):
        try:
            return reverse(view_name, args=arguments)
        except NoReverseMatch:
            continue
    return None


class Shell:
    """The frame of one request. Properties query only when a template reads them, and at most once."""

    def __init__(self, request: HttpRequest) -> None:
        self.request: Any = request  # a ``StudioRequest`` behind the middleware

    @property
    def theme(self) -> str:
        return theme_of(self.request)

    @cached_property
    def is_logged_in(self) -> bool:
        user = getattr(self.request, "user", None)
        return user is not None and user.is_authenticated

    @property
    def frame(self) -> str:
        """The template that an error page extends."""
        return "base.html" if self.is_logged_in else "door.html"

    @property
    def organisation(self) -> Organisation | None:
        """The organisation of this page, if the request has access to it."""
        return getattr(self.request, "organisation", None)

    @property
    def permissions(self) -> frozenset[Permission]:
        return getattr(self.request, "permissions", frozenset())

    @property
    def impersonation(self) -> Any:
        """The ``Impersonation`` of this request, or None."""
        return getattr(self.request, "impersonation", None)

    @cached_property
    def second_factor_soon(self) -> datetime | None:
        """When a viewer who logged in by password only will need a second factor, or None; one query, only for them."""
        session = getattr(self.request, "session_record", None)
        if not self.is_logged_in or session is None or self.impersonation:
            return None
        if session.opened_by != OpenedBy.PASSWORD or session.factor_at is not None:
            return None
        match = self.request.resolver_match
        if match and match.view_name in PAGES_ABOUT_SECOND_FACTOR:
            return None
        at = next_requirement(self.request.user)
        return None if at is None or has_factor(self.request.user) else at

    @cached_property
    def warnings(self) -> Warnings | None:
        """Warnings about late purges, for super users and readers of the audit log; one to three queries."""
        if not self.is_logged_in:
            return None
        if self.request.user.is_superuser:
            return warnings_of_all(now=timezone.now())
        if self.organisation and Permission.READ_AUDIT_LOG in self.permissions:
            return warnings_below(self.organisation)
        return None

    @cached_property
    def navigation(self) -> list[Group]:
        """The side bar: pages of the current organisation, then the administration; one or two queries."""
        if not self.is_logged_in:
            return []
        groups = []
        if self.organisation:
            of_environment = CONVERSATIONS if self.organisation.kind == Kind.ENVIRONMENT else ()
            allowed = [page for page in (HOME, *of_environment, *MANAGEMENT) if page.permission in self.permissions]
            groups.append(
                Group(
                    Kind(self.organisation.kind).label.capitalize(),
                    self._entries(allowed),
                )
            )
        if self._manages_several():
            platform = PLATFORM if self.request.user.is_superuser else ()
            groups.append(Group(_("Administration"), self._entries([*ADMINISTRATION, *platform])))
        return [group for group in groups if group.entries]

    @cached_property
    def profile(self) -> list[Entry]:
        return [] if self.impersonation else self._entries(PROFILE)  # closed to an impersonator

    @property
    def home(self) -> str | None:
        """The home page of the current organisation."""
        return address(HOME.view_name, self.organisation.slug) if self.organisation else None

    @property
    def logout(self) -> str | None:
        return address("accounts:logout")

    def _entries(self, pages: Sequence[Page]) -> list[Entry]:
        match = self.request.resolver_match
        current = match.view_name if match else ""
        slug = self.organisation.slug if self.organisation else None
        return [
            Entry(
                label=page.label,
                icon=page.icon,
                address=page_address,
                is_current=page.view_name == current,
                count=self._waiting_count() if page is ACCESS_REQUESTS else 0,
            )
            for page in pages
            if (page_address := address(page.view_name, slug))
        ]

    def _waiting_count(self) -> int:
        waiting = AccessRequest.objects.waiting().filter(organisation=self.organisation)
        return waiting.count()

    def _manages_several(self) -> bool:
        """Return whether the viewer manages two environments, or an organisation that environments can be below."""
        user = cast(User, self.request.user)
        if user.is_superuser:
            return True
        memberships = Membership.objects.live().allowing(Permission.MANAGE_MEMBERS).filter(user=user)
        kinds = list(memberships.values_list("organisation__kind", flat=True)[:2])
        return len(kinds) > 1 or any(kind != Kind.ENVIRONMENT for kind in kinds)


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return the context processor's ``shell``; no query for anonymous visitors."""
    return {"shell": Shell(request)}
