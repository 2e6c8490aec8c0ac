"""The organisations at the top of the tree, with how much is below each."""

from django.db.models import OuterRef, Q, Value
from django.db.models.functions import Concat

from environments.choices import Kind, Role
from environments.models import Membership, Organisation, OrganisationQuerySet
from web.paging import CountOf


def roots(words: str = "") -> OrganisationQuerySet:
    """Return the organisations at the top, by name, with counts of what is below and of their own Administrators."""
    found = Organisation.objects.filter(depth=1)
    if words:
        found = found.filter(Q(name__icontains=words) | Q(slug__icontains=words))
    below = Organisation.objects.filter(path__gt=OuterRef("path"), path__lt=Concat(OuterRef("path"), Value("~")))
    administrators = Membership.objects.live().filter(
        organisation=OuterRef("pk"), roles__contains=[Role.ADMINISTRATOR], user__is_active=True
    )
    counted: OrganisationQuerySet = found.annotate(
        agency_count=CountOf(below.filter(kind=Kind.AGENCY).values("pk")),
        customer_count=CountOf(below.filter(kind=Kind.CUSTOMER).values("pk")),
        environment_count=CountOf(below.filter(kind=Kind.ENVIRONMENT).values("pk")),
        administrator_count=CountOf(administrators.values("pk")),
    ).order_by("name", "pk")
    return counted
