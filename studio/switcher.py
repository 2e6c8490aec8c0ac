"""The switcher: find environments by their own name or by the name of an organisation above."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from django.contrib.sessions.backends.base import SessionBase
from django.db.models import OuterRef, Q, Subquery
from django.utils.translation import gettext as _

from accounts.models import User
from environments.access import reachable
from environments.caller import Caller
from environments.choices import Kind
from environments.models import OpenedEnvironment, Organisation, OrganisationQuerySet
from studio.context import address

PAGE_SIZE = 50
MANY = 8  # with this many, the recent ones are repeated at the top
ORGANISATIONS_SEARCHED = 20  # at most so many organisations by name; more need another word
SESSION_KEY = "opened_last"  # the id of an environment: so that each change alone is written down
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


def recent_environments(caller: Caller, *, current: str = "") -> ChoiceGroup | None:
    """Return the environments that this person opened last, in any session, if they still have access; one query.

    The latest comes first. Whoever views Studio as somebody else sees none.
    """
    if caller.person is None:
        return None
    opened = OpenedEnvironment.objects.filter(user=caller.person, organisation=OuterRef("pk"))
    environments = reachable(caller).environments().annotate(opened_at=Subquery(opened.values("opened_at")))
    latest = environments.filter(opened_at__isnull=False).order_by("-opened_at", "pk")[:RECENT_COUNT]
    choices = [_choice(environment, current) for environment in latest]
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


def _choice(environment: Organisation, current: str) -> Choice:
    home = address("environments:home", environment.slug) or f"/{environment.slug}/"
    return Choice(environment.name, home, is_current=environment.slug == current)
