"""What pages, REST and commands show of a setting: the value, where it comes from, and who locks it."""

import pytest
from django.utils import timezone

from environments.caller import SYSTEM, Caller
from environments.choices import Kind, Role
from environments.policies.effective import Origin, advanced_settings, organisation_rows
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa, set_retention
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def market():
    return factories.organisation(Kind.MARKET, name="Benelux", slug="benelux")


@pytest.fixture
def agency(market):
    return factories.organisation(parent=market, name="Noorderlicht", slug="noorderlicht")


@pytest.fixture
def acme(agency):
    return factories.environment(parent=agency, name="Acme", slug="acme")


def put(organisation, to):
    change = set_retention if isinstance(to, Retention) else set_require_mfa
    change(organisation, to=to, by=SYSTEM, now=timezone.now())


def shown(organisation, viewer=SYSTEM):
    organisation.refresh_from_db()
    return advanced_settings(organisation, viewer=viewer)


def test_without_any_own_value_the_defaults_hold_and_come_from_nowhere(acme):
    settings = shown(acme)
    for setting, default in ((settings.require_mfa, MfaRule.off()), (settings.archival, Retention.keep())):
        assert (setting.effective.value, setting.effective.source, setting.effective.lock) == (default, None, None)
        assert setting.own.strictness == type(default).inherit().strictness


def test_an_own_value_is_overruled_by_the_strictest_lock_above_and_stays_own(market, agency, acme):
    put(acme, Retention.limit(365))
    put(agency, Retention.limit(30, locked=True))
    put(market, Retention.limit(90, locked=True))
    archival = shown(acme).archival
    assert (archival.own, archival.effective.value) == (Retention.limit(365), Retention.limit(30))
    assert archival.effective.source == archival.effective.lock == Origin("noorderlicht", "Noorderlicht", "agency", 1)
    assert archival.effective.at_most == Retention.limit(30, locked=True)
    assert archival.inherited.value == Retention.limit(30)


def test_of_several_locks_of_mfa_the_uppermost_is_shown(market, agency, acme):
    for each in (agency, market):
        put(each, MfaRule.on(locked=True))
    mfa = shown(acme).require_mfa
    assert (mfa.effective.value, mfa.effective.lock) == (MfaRule.on(), Origin("benelux", "Benelux", "market", 2))


def test_whoever_does_not_reach_the_organisation_above_learns_that_it_sets_something_and_no_name(agency, acme):
    put(agency, Retention.limit(90, locked=True))
    ada = factories.member(acme, Role.ADMINISTRATOR)
    effective = shown(acme, viewer=Caller.of(ada)).archival.effective
    assert effective.source == effective.lock == Origin(slug=None, name=None, kind="agency", levels_up=1)
    assert shown(acme, viewer=Caller.of(factories.member(agency))).archival.effective.lock.name == "Noorderlicht"


def test_a_list_shows_what_the_page_shows_and_takes_one_query_for_any_number(agency, acme, django_assert_num_queries):
    put(agency, Retention.limit(90))
    put(acme, MfaRule.on())
    nodes = [agency, acme, *(factories.environment(parent=agency) for _ in range(5))]
    for node in nodes:
        node.refresh_from_db()
    ada = factories.member(agency)
    for some in (nodes[:1], nodes):
        with django_assert_num_queries(1):
            found = organisation_rows(some, viewer=Caller.of(ada))
        assert [row.settings for row in found] == [shown(node, viewer=Caller.of(ada)) for node in some]
    assert [
        (row.parent, row.mfa_origin, row.archival_origin)
        for row in organisation_rows([agency, acme], viewer=Caller.of(ada))
    ] == [
        ("", "", "own"),
        ("Noorderlicht", "own", "Noorderlicht"),
    ]
