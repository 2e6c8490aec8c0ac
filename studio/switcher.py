"""The switcher: find environments by their own name or by the name of an organisation above."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from django.contrib.sessions.backends.base import SessionBase
from django.db.models import Q
from django.utils.translation import gettext as _

from environments.access import reachable
from environments.caller import Caller
from environments.choices import Kind
from environments.models import Organisation, OrganisationQuerySet
from studio.context import address

PAGE_SIZE = 50
MANY = 8  # with this many, the recent ones are repeated at the top
ORGANISATIONS_SEARCHED = 20  # at most so many organisations by name; more need another word
SESSION_KEY = "recent_environments"
RECENT_COUNT = 5


@dataclass(frozen=True, slots=True)
class Choice:
    name: str
    address: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class ChoiceGroup:
    title: str
    choices: Sequence[Choice]


def search_environments(caller: Caller, words: str) -> OrganisationQuerySet:
    """Return the caller's environments with ``words`` in their name or short name, or in a name above."""
    known = reachable(caller)
    environments = known.environments().order_by("path")
    if not words:
        return environments
    matches = Q(name__icontains=words) | Q(slug__icontains=words)
    above = known.exclude(kind=Kind.ENVIRONMENT).filter(name__icontains=words).order_by("path")
    for path in above.values_list("path", flat=True)[:ORGANISATIONS_SEARCHED]:
        matches |= Q(path__gte=path, path__lt=path + "~")
    return environments.filter(matches)


def group_environments(caller: Caller, environments: Iterable[Organisation], *, current: str = "") -> list[ChoiceGroup]:
    """Group environments by the organisations above them, named only if the caller has access; one query."""
    environments = list(environments)
    paths = {path for environment in environments for path in environment.lineage[:-1]}
    names = dict(reachable(caller).filter(path__in=paths).values_list("path", "name")) if paths else {}

    def title(environment: Organisation) -> str:
        return " › ".join(names[path] for path in environment.lineage[:-1] if path in names) or _("Environments")

    return [
        ChoiceGroup(heading, [_choice(environment, current) for environment in members])
        for heading, members in groupby(environments, key=title)
    ]


def recent_environments(caller: Caller, session: SessionBase, *, current: str = "") -> ChoiceGroup | None:
    """Return the environments that this session opened last, the latest first, if the caller still has access."""
    slugs = session.get(SESSION_KEY, [])
    by_slug = {node.slug: node for node in reachable(caller).environments().filter(slug__in=slugs)} if slugs else {}
    choices = [_choice(by_slug[slug], current) for slug in slugs if slug in by_slug]
    return ChoiceGroup(_("Recent"), choices) if choices else None


def remember_environment(session: SessionBase, slug: str) -> None:
    """Put an environment first among the recent ones; writes the session only if that changes something."""
    before = session.get(SESSION_KEY, [])
    if before[:1] != [slug]:
        session[SESSION_KEY] = [slug, *(other for other in before if other != slug)][:RECENT_COUNT]


def _choice(environment: Organisation, current: str) -> Choice:
    home = address("environments:home", environment.slug) or f"/{environment.slug}/"
    return Choice(environment.name, home, is_current=environment.slug == current)
