"""The context of the frame around every page: theme, current organisation, and navigation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.choices import OpenedBy
from accounts.requirement import has_factor
from agencies.pending_changes.queries import questions_about_count
from archival.evidence.warnings import (
    Warnings,
    questions_about_all,
    questions_below,
    warnings_below,
    warnings_of_all,
)
from environments.access import Granted, access_of, granted_to, is_reached
from environments.caller import NOBODY, Caller
from environments.choices import Kind, Permission
from environments.models import AccessRequest, Organisation
from environments.policies.mfa_reach import next_requirement
from studio.sections import (
    ACCESS_REQUESTS,
    ADMINISTRATION,
    CONVERSATIONS,
    HOME,
    MANAGEMENT,
    PENDING_CHANGES,
    PLATFORM,
    PROFILE,
    Page,
)
from studio.theme import theme_of
from web.together import counted, fetch_together


@dataclass(frozen=True, slots=True)
class Entry:
    """A link of the side bar, for this viewer and this request."""

    label: str | Promise
    icon: str
    address: str
    current: str  # of ``aria-current``: "page" for the page itself, "true" for a page inside it, else empty
    count: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    title: str | Promise
    entries: Sequence[Entry]


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
        """When a viewer who logged in by password only will need a second factor, or None."""
        at = self._answers["requirement"][0] if "requirement" in self._answers else None
        return None if at is None or has_factor(self.request.user) else at

    @cached_property
    def warnings(self) -> Warnings | None:
        """Warnings about late purges, for super users and readers of the audit log."""
        if "checked_at" in self._answers:
            return warnings_of_all(self._answers, now=self._now)
        return warnings_below(self._answers) if "late" in self._answers else None

    @cached_property
    def navigation(self) -> list[Group]:
        """The side bar: pages of the current organisation, or of the viewer's account, then the administration."""
        if not self.is_logged_in:
            return []
        groups = [self._first_group(), Group(_("Administration"), self._administration())]
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

    def _first_group(self) -> Group:
        if self.organisation is None:
            is_about_them = any(page.has(self._view_name) for page in PROFILE)
            return Group(_("Your account"), self.profile if is_about_them else [])
        kind = Kind(self.organisation.kind)
        allowed = [page for page in (HOME, *CONVERSATIONS, *MANAGEMENT) if page.permission in self.permissions]
        entries = self._entries([page for page in allowed if kind in page.kinds])
        return Group(kind.label.capitalize(), entries)

    def _administration(self) -> list[Entry]:
        """Return the entries for whoever manages more than one environment, on every page."""
        if not self._manages_several():
            return []
        entries = [
            self._entry(page, page_address)
            for page in ADMINISTRATION
            if (slug := self._place_for(page)) and (page_address := address(page.view_name, slug))
        ]
        return [*entries, *self._entries(PLATFORM)] if self._is_superuser else entries

    def _entries(self, pages: Sequence[Page]) -> list[Entry]:
        slug = self.organisation.slug if self.organisation else None
        return [self._entry(page, page_address) for page in pages if (page_address := address(page.view_name, slug))]

    def _entry(self, page: Page, page_address: str) -> Entry:
        is_inside = page.has(self._view_name)
        return Entry(
            label=page.label,
            icon=page.icon,
            address=page_address,
            current=("page" if page_address == self.request.path else "true") if is_inside else "",
            count=self._count_for(page),
        )

    def _count_for(self, page: Page) -> int:
        """Return how many things wait on the page, as the side bar shows it."""
        if page is ACCESS_REQUESTS:
            return int(self._answers["waiting"][0])
        return self.pending_count if page is PENDING_CHANGES else 0

    @cached_property
    def pending_count(self) -> int:
        """How many changes of settings are pending in everything that the viewer has access to and can change."""
        return sum(answer[0] for name, answer in self._answers.items() if name.startswith("pending_"))

    @property
    def _view_name(self) -> str:
        match = self.request.resolver_match
        return match.view_name if match else ""

    @property
    def _is_superuser(self) -> bool:
        return self.is_logged_in and self.request.user.is_superuser

    @cached_property
    def _now(self) -> datetime:
        return timezone.now()

    @cached_property
    def _answers(self) -> dict[str, list[Any]]:
        """What the frame asks the database about this viewer and this page; one query, if it has a question."""
        return fetch_together(**self._questions()) if self.is_logged_in else {}

    def _questions(self) -> dict[str, Any]:
        questions: dict[str, Any] = {}
        if ACCESS_REQUESTS.permission in self.permissions:
            waiting = AccessRequest.objects.waiting().filter(organisation=self.organisation)
            questions["waiting"] = counted(waiting)
        if self._can_change_settings():
            questions |= questions_about_count(self._caller)
        if self._is_superuser:
            questions |= questions_about_all(now=self._now)
            if self.organisation is None:
                roots = Organisation.objects.live().filter(depth=1)
                questions["root"] = roots.order_by("path").values_list("slug")[:1]
        elif self.organisation and Permission.READ_AUDIT_LOG in self.permissions:
            questions |= questions_below(self.organisation)
        if self._can_lack_factor():
            questions["requirement"] = next_requirement(self.request.user)
        return questions

    def _can_change_settings(self) -> bool:
        """Return whether the viewer can change the advanced settings anywhere."""
        changes = Permission.CHANGE_ADVANCED_SETTINGS
        return self._is_superuser or any(each.has(changes) for each in self._granted)

    def _can_lack_factor(self) -> bool:
        """Return whether the viewer logged in by password only, and no page about a second factor is shown."""
        session = getattr(self.request, "session_record", None)
        if session is None or self.impersonation or self._view_name in PAGES_ABOUT_SECOND_FACTOR:
            return False
        return session.opened_by == OpenedBy.PASSWORD and session.factor_at is None

    @cached_property
    def _caller(self) -> Caller:
        caller: Caller = getattr(self.request, "caller", NOBODY)
        return caller if caller.is_known else Caller.of(self.request.user)  # an address that does not exist

    @cached_property
    def _granted(self) -> list[Granted]:
        access = access_of(self.request)
        return access.granted if access else granted_to(self._caller)

    def _manages_several(self) -> bool:
        """Return whether the viewer manages two environments, or an organisation that environments can be below."""
        if self._is_superuser:
            return True
        managed = [each for each in self._granted if each.has(Permission.MANAGE_MEMBERS)]
        return len(managed) > 1 or any(each.kind != Kind.ENVIRONMENT for each in managed)

    def _place_for(self, page: Page) -> str | None:
        """Return the short name of the nearest organisation for which the viewer can open this page.

        That is the current one or one above it, rather than an environment; or else the uppermost one of the viewer.
        """
        access = access_of(self.request)
        if access and (nearest := access.nearest(page.permission, kinds=page.kinds)):
            return nearest
        slugs: list[str] = self._answers.get("root", [])
        usable = [each for each in self._granted if self._can_use(each, page)]
        slugs += [each.slug for each in sorted(usable, key=lambda each: each.kind == Kind.ENVIRONMENT)]
        return slugs[0] if slugs else None

    def _can_use(self, granted: Granted, page: Page) -> bool:
        reached = is_reached(self._caller, granted.path, [granted], is_suspended=granted.is_suspended)
        return reached and granted.has(page.permission) and granted.kind in page.kinds


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return the context processor's ``shell``; no query for anonymous visitors."""
    return {"shell": Shell(request)}
