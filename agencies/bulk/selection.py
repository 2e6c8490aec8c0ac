"""Which environments a bulk change is about, as the query string of its page says it."""

from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _

from agencies.environment_table.forms import EnvironmentFilterForm
from agencies.environment_table.queries import environments_matching
from environments.access import Access
from environments.models import Organisation
from web.typed import without_nul


@dataclass(frozen=True, slots=True)
class Selection:
    """Environments that were chosen one by one, or all that match a filter of the table."""

    slugs: list[str]
    filter: str | None  # the query string of the table; None: those with ``slugs``

    @classmethod
    def of(cls, query: QueryDict) -> "Selection":
        slugs = [without_nul(slug) for slug in query.getlist("environment")]
        return cls(slugs, query.get("filter", "") if "all" in query else None)

    def environments(self, access: Access, *, now: datetime) -> list[Organisation]:
        """Return the environments below the organisation of the page that are meant, in the order of the tree; a query.

        Short names of anything else are left out. Raises ``ValidationError`` if there are none, and for a filter that
        is not understood: without the part that is not, it would mean more than was asked for.
        """
        here = access.organisation
        if self.filter is None:
            found = Organisation.objects.below(here).environments().filter(slug__in=self.slugs)
        else:
            form = EnvironmentFilterForm(QueryDict(self.filter), permissions=access.permissions)
            if not form.is_understood:
                raise ValidationError(
                    _("This filter cannot be read, so it chooses nothing. Choose environments again.")
                )
            matching = environments_matching(here, form.asked, now=now)
            found = Organisation.objects.filter(pk__in=matching.order_by().values("pk"))
        if not (environments := list(found.order_by("path"))):
            raise ValidationError(_("Choose environments first."))
        return environments

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The hidden fields that repeat it in a form."""
        if self.filter is None:
            return [("environment", slug) for slug in self.slugs]
        return [("all", "on"), ("filter", self.filter)]
