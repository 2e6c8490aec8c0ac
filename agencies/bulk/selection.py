"""Which environments a bulk change is about, as the query string of its page says it."""

from dataclasses import dataclass
from datetime import datetime

from django.http import QueryDict

from agencies.environment_table.forms import EnvironmentFilterForm
from agencies.environment_table.queries import environments_matching
from environments.access import Access
from environments.models import Organisation


@dataclass(frozen=True, slots=True)
class Selection:
    """Environments that were chosen one by one, or all that match a filter of the table."""

    slugs: list[str]
    filter: str | None  # the query string of the table; None: those with ``slugs``

    @classmethod
    def of(cls, query: QueryDict) -> "Selection":
        return cls(query.getlist("environment"), query.get("filter", "") if "all" in query else None)

    def environments(self, access: Access, *, now: datetime) -> list[Organisation]:
        """Return the environments below the organisation of the page that are meant, in the order of the tree; a query.

        Short names of anything else are left out.
        """
        here = access.organisation
        if self.filter is None:
            chosen = Organisation.objects.below(here).environments().filter(slug__in=self.slugs)
            return list(chosen.order_by("path"))
        form = EnvironmentFilterForm(QueryDict(self.filter), permissions=access.permissions)
        found = environments_matching(here, form.asked, now=now)
        return list(Organisation.objects.filter(pk__in=found.order_by().values("pk")).order_by("path"))

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The hidden fields that repeat it in a form."""
        if self.filter is None:
            return [("environment", slug) for slug in self.slugs]
        return [("all", "on"), ("filter", self.filter)]
