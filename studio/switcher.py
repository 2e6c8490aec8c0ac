"""The switcher: find environments by their own name or by the name of an organisation above, and lead to one of them.

It leads to the same page of the other environment, as the plan of the side bar has it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from django.contrib.sessions.backends.base import SessionBase
from django.db.models import OuterRef, Q, Subquery
from django.urls import NoReverseMatch, Resolver404, resolve, reverse
from django.utils.translation import gettext as _

from accounts.models import User
from environments.access import Granted, all_reachable, granted_to, permissions_in, reachable
from environments.caller import Caller
from environments.choices import Kind
from environments.models import OpenedEnvironment, Organisation, OrganisationQuerySet
from studio.sections import HOME, Page, section_of
from web.among import Among

PAGE_SIZE = 50
MANY = 8  # with this many, the recent ones are repeated at the top
ORGANISATIONS_SEARCHED = 20  # at most so many organisations by name; more need another word
SESSION_KEY = "opened_last"  # the id of an environment: so that each change alone is written down
RECENT_COUNT = 5


@dataclass(frozen=True, slots=True)
class Choice:
    name: str
    address: str
    is_current: bool = False
    note: str = ""  # what tells it from others of the same name


@dataclass(frozen=True, slots=True)
class ChoiceGroup:
    title: str
    choices: Sequence[Choice]


class Destination:
    """Which page of an environment the caller is led to: the one that they come from, where they can open it there.

    A page inside a section, such as one conversation, leads to the section. Costs one query, and another one for an
    impersonator; none for the home page.
    """

    def __init__(self, caller: Caller, path: str = "") -> None:
        """``path`` is the path of the page that they come from; any text, as browsers send it."""
        self.caller = caller
        self.section = section_at(path)

    def address_in(self, environment: Organisation) -> str:
        if self.section is not HOME and self._can_open(environment):
            try:
                return reverse(self.section.view_name, args=[environment.slug])
            except NoReverseMatch:  # it is the same for all environments
                pass
        return reverse(HOME.view_name, args=[environment.slug])

    def _can_open(self, environment: Organisation) -> bool:
        if environment.kind not in self.section.kinds:
            return False
        granted, granted_to_impersonator = self._granted
        permissions = permissions_in(
            self.caller, environment, granted=granted, granted_to_impersonator=granted_to_impersonator
        )
        return self.section.permission in permissions

    @cached_property
    def _granted(self) -> tuple[list[Granted], list[Granted] | None]:
        impersonator = self.caller.impersonator
        return granted_to(self.caller), granted_to(Caller.of(impersonator)) if impersonator else None


def section_at(path: str) -> Page:
    """Return the section of the page at a path, if the page is of an organisation; ``HOME`` for any other path."""
    try:
        match = resolve(path)
    except Resolver404:
        return HOME
    return section_of(match.view_name) if "slug" in match.kwargs else HOME


def search_environments(caller: Caller, words: str) -> OrganisationQuerySet:
    """Return the caller's environments with ``words`` in their name or short name, or in a name above."""
    known = all_reachable(caller)
    environments = known.environments().order_by("path")
    if not words:
        return environments
    matches = Q(name__icontains=words) | Q(slug__icontains=words)
    above = known.exclude(kind=Kind.ENVIRONMENT).filter(name__icontains=words).order_by("path")
    for path in above.values_list("path", flat=True)[:ORGANISATIONS_SEARCHED]:
        matches |= Q(path__gte=path, path__lt=path + "~")
    return environments.filter(matches)


def group_environments(
    caller: Caller,
    environments: Iterable[Organisation],
    *,
    current: str = "",
    destination: Destination | None = None,
) -> list[ChoiceGroup]:
    """Group environments by the organisations above them, named only if the caller has access; one query."""
    environments, destination = list(environments), destination or Destination(caller)
    paths = {path for environment in environments for path in environment.lineage[:-1]}
    names = dict(reachable(caller).filter(path__in=paths).values_list("path", "name")) if paths else {}

    def title(environment: Organisation) -> str:
        return " › ".join(names[path] for path in environment.lineage[:-1] if path in names) or _("Environments")

    return [
        ChoiceGroup(heading, [_choice(environment, current, destination) for environment in members])
        for heading, members in groupby(environments, key=title)
    ]


def recent_environments(
    caller: Caller, *, current: str = "", destination: Destination | None = None
) -> ChoiceGroup | None:
    """Return the environments that this person opened last, in any session, if they still have access; one query.

    The latest comes first. Whoever views Studio as somebody else sees none.
    """
    if caller.person is None:
        return None
    opened = OpenedEnvironment.objects.filter(user=caller.person)
    at = opened.filter(organisation=OuterRef("pk")).values("opened_at")
    environments = reachable(caller).environments().filter(Among("pk", opened.values("organisation")))
    latest = environments.annotate(opened_at=Subquery(at)).order_by("-opened_at", "pk")[:RECENT_COUNT]
    destination = destination or Destination(caller)
    choices = [_choice(environment, current, destination) for environment in latest]
    return ChoiceGroup(_("Recent"), choices) if choices else None


def remember_environment(user: User, session: SessionBase, environment: Organisation) -> None:
    """Store that the user opened an environment; writes only if the session had another one open.

    It is stored for the person and not in the session: log-out ends that, and the next person at a shared browser is
    to see nothing of it. The latest ``RECENT_COUNT`` are kept. Two queries.
    """
    if session.get(SESSION_KEY) == environment.pk:
        return
    session[SESSION_KEY] = environment.pk
    OpenedEnvironment.objects.bulk_create(
        [OpenedEnvironment(user_id=user.pk, organisation=environment)],
        update_conflicts=True,
        unique_fields=["user", "organisation"],
        update_fields=["opened_at"],
    )
    opened = OpenedEnvironment.objects.filter(user=user.pk)
    latest = opened.order_by("-opened_at", "-pk").values("pk")[:RECENT_COUNT]
    opened.exclude(pk__in=latest).delete()


def _choice(environment: Organisation, current: str, destination: Destination) -> Choice:
    return Choice(environment.name, destination.address_in(environment), is_current=environment.slug == current)
