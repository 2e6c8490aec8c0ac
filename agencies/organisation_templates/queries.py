"""Which templates there are, and who can be in them."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import QuerySet

from accounts.models import User
from agencies.models import OrganisationTemplate
from environments.access import granted_to, permissions_in
from environments.caller import Caller
from environments.choices import Permission
from environments.members.services import memberships_within
from environments.models import Organisation


def templates_at(organisation: Organisation) -> QuerySet[OrganisationTemplate]:
    """Return the organisation's own templates, in the order of their names; three queries with their people."""
    return (
        organisation.templates.select_related("organisation").prefetch_related("members__user").order_by("name", "pk")
    )


def templates_for(places: Iterable[Organisation], *, by: Caller) -> list[OrganisationTemplate]:
    """Return the templates by which ``by`` can create something below these places, of the nearest organisation first.

    Those are the places' own, and those of organisations above that ``by`` can see. Four queries for any number.
    """
    paths = {path for place in places for path in place.lineage}
    found = OrganisationTemplate.objects.filter(organisation__path__in=paths)
    found = found.select_related("organisation", "changed_by").prefetch_related("members__user")
    granted = granted_to(by)
    return [
        template
        for template in found.order_by("-organisation__depth", "name", "pk")
        if Permission.VIEW in permissions_in(by, template.organisation, granted=granted)
    ]


def people_below(organisation: Organisation, *, now: datetime) -> QuerySet[User]:
    """Return the people with a live membership of the organisation or of anything below it."""
    live = memberships_within(organisation).live(now)
    return User.objects.filter(pk__in=live.values("user"), is_active=True)
