"""Questions about thousands of places have the answers of those about one: who reaches what, and whom MFA affects."""

from datetime import timedelta

import pytest
from django.utils import timezone

from environments.access import all_reachable, granted_to, is_reached, reachable
from environments.caller import NOBODY, SYSTEM, Caller
from environments.choices import Kind, Role
from environments.models import Organisation, is_at_or_below
from environments.policies.mfa_reach import people_reaching, requiring_by_lock, requiring_if_on
from environments.policies.resolve import resolve
from tests.factories import UserFactory, environment, member, organisation

pytestmark = pytest.mark.django_db


@pytest.fixture
def tree() -> dict[str, Organisation]:
    """A market whose branches skip ranks, with environments at each depth, and an agency that is another root."""
    market = organisation(Kind.MARKET, slug="market")
    distributor = organisation(Kind.DISTRIBUTOR, parent=market, slug="distributor")
    agency = organisation(Kind.AGENCY, parent=distributor, slug="agency")
    customer = organisation(Kind.CUSTOMER, parent=agency, slug="customer")
    near = organisation(Kind.CUSTOMER, parent=market, slug="near")
    organisation(Kind.CUSTOMER, parent=agency, slug="empty")
    root = organisation(Kind.AGENCY, slug="aurora")
    for parent in (market, distributor, agency, customer, near, root):
        environment(parent=parent, slug=f"in-{parent.slug}")
    for slug in ("off", "on", "closed"):
        environment(parent=customer, slug=slug)
    Organisation.objects.filter(slug="off").update(require_mfa="off")
    Organisation.objects.filter(slug="on").update(require_mfa="on")
    Organisation.objects.filter(slug="closed").update(suspended_at=timezone.now())
    for top in (market, root):
        resolve(top, now=timezone.now())
    return {each.slug: each for each in Organisation.objects.all()}


def slugs(organisations) -> list[str]:
    return [each.slug for each in organisations.order_by("path")]


def callers(tree) -> list[Caller]:
    several = member(tree["in-customer"], Role.MEMBER)
    for slug in ("customer", "near", "aurora"):
        several.memberships.create(organisation=tree[slug], roles=[Role.MEMBER], accepted_at=timezone.now())
    over = member(tree["market"], Role.MEMBER)
    over.memberships.update(expires_at=timezone.now() - timedelta(days=1))
    people = [*(member(tree[slug]) for slug in ("market", "agency", "off", "closed")), several, over, UserFactory()]
    gone = member(tree["agency"], is_active=False)
    looking = Caller.viewing_as(people[0], by=people[1], below=tree["customer"])
    return [SYSTEM, NOBODY, *map(Caller.of, [*people, gone, UserFactory(is_superuser=True)]), looking]


def test_lists_of_all_that_somebody_reaches_have_what_each_of_them_says(tree):
    for caller in callers(tree):
        found = slugs(all_reachable(caller))
        assert found == slugs(reachable(caller))
        if caller.user is not None and caller.user.is_active:
            granted = granted_to(caller)
            assert found == [
                each.slug
                for each in Organisation.objects.order_by("path")
                if is_reached(caller, each.path, granted, is_suspended=each.is_suspended)
            ]


@pytest.mark.parametrize("chosen", [["nowhere"], ["customer"], ["in-market", "near"], ["market"], ["off", "agency"]])
def test_what_is_at_or_below_places_begins_with_their_paths(tree, chosen):
    paths = Organisation.objects.filter(slug__in=chosen).order_by().values("path")
    begins = tuple(paths.values_list("path", flat=True))
    expected = [each.slug for each in Organisation.objects.order_by("path") if each.path.startswith(begins)]
    assert slugs(Organisation.objects.filter(is_at_or_below(paths))) == expected


@pytest.mark.parametrize(
    "slug", ["market", "distributor", "agency", "customer", "near", "empty", "aurora", "off", "on"]
)
def test_whom_mfa_affects_are_the_people_above_at_or_below_who_reach_an_environment(tree, slug):
    for each in tree.values():
        member(each, Role.MEMBER)
    around = tree[slug]
    for environments in (
        requiring_if_on(around, locked=False),
        requiring_if_on(around, locked=True),
        requiring_by_lock(around),
    ):
        reached = [each.path for each in environments]
        expected = {
            each.slug for each in tree.values() if any(path.startswith(each.path) for path in reached)
        }  # one person each
        found = people_reaching(environments, around=around)
        assert {person.memberships.get().organisation.slug for person in found} == expected


def test_a_lock_adds_the_environments_that_are_off_by_a_value_below(tree):
    market = tree["market"]
    without, locked = requiring_if_on(market, locked=False), requiring_if_on(market, locked=True)
    assert set(slugs(locked)) - set(slugs(without)) == set(slugs(requiring_by_lock(market))) == {"off"}
