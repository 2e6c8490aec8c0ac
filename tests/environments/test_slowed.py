"""Whoever is slowed down shows to those who manage members, and super users can allow the next try."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import FailureBudget
from accounts.throttle import budgets as throttle
from audit.models import Event
from environments.choices import Role
from tests import factories
from tests.logging_in import expire_step_up, logged_in_client

pytestmark = pytest.mark.django_db
WORDS = "Log-in slowed until"


@pytest.fixture
def vic(acme):
    return factories.member(acme, Role.MEMBER, email="vic@acme.test", name="Vic")


@pytest.fixture
def root():
    return factories.UserFactory(email="root@studio.test", is_superuser=True)


def fail(budget: throttle.Budget, times: int) -> FailureBudget:
    """Leave a budget as it is after so many failures, the latest just now."""
    return FailureBudget.objects.create(key=budget.key, failures=times, since=timezone.now())


@pytest.mark.parametrize(("door", "word"), [("codes", "codes"), ("password", "password")])
def test_the_members_page_and_the_member_say_what_is_slowed_and_until_when(ada, vic, door, word):
    fail(throttle.codes_of(vic) if door == "codes" else throttle.password_of("VIC@acme.test"), 10)
    browser = logged_in_client(ada)
    for path in ("/acme/members/", f"/acme/members/{vic.memberships.get().pk}/"):
        page = browser.get(path).content.decode()
        assert page.count(WORDS) == 1
        assert f"({word})" in page


def test_what_is_over_is_not_shown(ada, vic):
    fail(throttle.codes_of(vic), 4)
    row = fail(throttle.password_of(vic.email), 10)
    FailureBudget.objects.filter(pk=row.pk).update(since=timezone.now() - timedelta(minutes=1))
    assert WORDS not in logged_in_client(ada).get("/acme/members/").content.decode()


@pytest.mark.parametrize("count", [1, 50])
def test_slowed_members_cost_the_same_for_1_and_50(ada, acme, count, django_assert_num_queries):
    people = [factories.member(acme, Role.MEMBER, email=f"z{number}@acme.test") for number in range(count)]
    for person in people:
        fail(throttle.codes_of(person), 9)
    browser = logged_in_client(ada)
    browser.get("/acme/members/")
    with django_assert_num_queries(9):
        page = browser.get("/acme/members/").content.decode()
    assert page.count(WORDS) == min(count, 49)  # Ada stands on the first page of fifty


def test_those_who_do_not_manage_members_see_nothing(vic, acme, ada):
    fail(throttle.codes_of(ada), 9)
    assert logged_in_client(vic).get("/acme/members/").status_code == 403
    assert logged_in_client(factories.UserFactory()).get("/acme/members/").status_code == 404


def test_super_users_see_every_slowed_budget_and_whose_it_is(root, vic):
    fail(throttle.codes_of(vic), 5)
    fail(throttle.password_of(vic.email), 10)
    fail(throttle.password_of("nobody@acme.test"), 10)
    fail(throttle.Budget("address:192.0.2.7", free=50), 50)
    fail(throttle.mails_to(vic), 4)
    page = logged_in_client(root).get("/sign-in/slowed/").content.decode()
    assert page.count('name="budget"') == 4
    assert page.count("vic@acme.test</small>") == 2
    assert "An unknown e-mail address" in page
    assert "192.0.2.7" in page


@pytest.mark.parametrize("count", [1, 50])
def test_the_list_of_the_slowed_costs_the_same_for_1_and_50(root, acme, count, django_assert_num_queries):
    for number in range(count):
        person = factories.member(acme, Role.MEMBER, email=f"z{number}@acme.test")
        fail(throttle.codes_of(person), 9)
        fail(throttle.password_of(person.email), 12)
    browser = logged_in_client(root)
    with django_assert_num_queries(7):
        page = browser.get("/sign-in/slowed/").content.decode()
    assert page.count('name="budget"') == 2 * count


def test_clearing_forgives_and_is_audited(root, vic):
    row = fail(throttle.codes_of(vic), 9)
    assert throttle.spend(throttle.codes_of(vic), now=timezone.now()) > 0
    assert logged_in_client(root).post("/sign-in/slowed/", {"budget": row.pk}).url == "/sign-in/slowed/"
    assert throttle.spend(throttle.codes_of(vic), now=timezone.now()) == 0
    event = Event.objects.get(action="sign_in.cleared")
    assert (event.actor_id, event.subject_id, event.before) == (root.pk, vic.pk, {"door": "codes", "failures": 9})


def test_clearing_needs_step_up_and_a_super_user(root, ada, vic):
    row = fail(throttle.codes_of(vic), 9)
    browser = logged_in_client(root)
    expire_step_up()
    assert browser.post("/sign-in/slowed/", {"budget": row.pk}).url.startswith("/profile/security/confirm/")
    administrator = logged_in_client(ada)
    assert administrator.get("/sign-in/slowed/").status_code == 403
    assert administrator.post("/sign-in/slowed/", {"budget": row.pk}).status_code == 403
    assert FailureBudget.objects.filter(pk=row.pk).exists()


def test_nonsense_clears_nothing(root, vic):
    fail(throttle.codes_of(vic), 9)
    browser = logged_in_client(root)
    for number in ("", "x", "-1", "9" * 30, "٣"):
        assert browser.post("/sign-in/slowed/", {"budget": number}).status_code == 302
    assert FailureBudget.objects.count() == 1
