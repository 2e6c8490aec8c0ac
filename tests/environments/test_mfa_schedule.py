"""Require MFA from a date: whom it hits, and that it acts once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, connection, transaction

from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import Role, ScheduleState
from environments.keys.services import create_organisation_key
from environments.models import MfaChange
from environments.policies.mfa import MfaRule
from environments.policies.mfa_reach import (
    newly_requiring,
    next_requirement,
    people_who_will_lack_factor,
    soon_requiring,
)
from environments.policies.mfa_schedule import apply_due_changes, cancel_scheduled_mfa, schedule_mfa
from environments.policies.resolve import mfa_required
from environments.policies.services import set_require_mfa
from environments.tree.services import move_organisation, resume, suspend
from tests import factories
from tests.factories import NOW
from tests.logging_in import give_app
from web.together import fetch_together

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)
DATE = NOW + 30 * DAY


def requirement_to_come(user):
    return fetch_together(at=next_requirement(user))["at"][0]


def schedule(organisation, *, acts_at=DATE, locked=False, by=SYSTEM, now=NOW):
    return schedule_mfa(organisation, to=MfaRule.on(locked=locked), acts_at=acts_at, by=by, now=now)


def state_of(change):
    change.refresh_from_db()
    return change.state


def actions():
    return list(
        Event.objects.filter(action__startswith="mfa_requirement.").order_by("pk").values_list("action", flat=True)
    )


# -- The schedule ------------------------------------------------------------------------------


def test_nothing_changes_before_the_date_and_everything_at_it(acme, ada):
    change = schedule(acme, by=Caller.of(ada))
    assert apply_due_changes(now=DATE - MOMENT) == 0
    assert not mfa_required(ada)
    assert apply_due_changes(now=DATE) == 1
    assert (mfa_required(ada), state_of(change)) == (True, ScheduleState.APPLIED)
    assert actions() == ["mfa_requirement.change_requested", "mfa_requirement.change_applied"]


def test_applying_twice_is_applying_once(acme):
    schedule(acme)
    assert (apply_due_changes(now=DATE), apply_due_changes(now=DATE + DAY)) == (1, 0)
    set_require_mfa(acme, to=MfaRule.off(), by=SYSTEM, now=DATE + DAY)
    assert apply_due_changes(now=DATE + 2 * DAY) == 0
    acme.refresh_from_db()
    assert not acme.effective_require_mfa


@pytest.mark.parametrize("acts_at", [NOW, NOW - MOMENT, NOW + 3650 * DAY + MOMENT])
def test_a_date_that_is_not_in_the_future_or_beyond_ten_years_is_refused(acme, acts_at):
    with pytest.raises(ValidationError) as error:
        schedule(acme, acts_at=acts_at)
    assert list(error.value.message_dict) == ["require_mfa_from"]
    assert MfaChange.objects.count() == 0


def test_another_date_replaces_the_first_and_the_same_date_changes_nothing(acme):
    first = schedule(acme)
    assert schedule(acme) == first
    second = schedule(acme, acts_at=DATE + DAY)
    assert (state_of(first), state_of(second)) == (ScheduleState.REPLACED, ScheduleState.PENDING)
    assert apply_due_changes(now=DATE) == 0


def test_the_database_keeps_one_pending_change_an_organisation(acme):
    change = schedule(acme)
    change.pk = None
    change.uuid = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(IntegrityError), transaction.atomic():
        change.save(force_insert=True)


@pytest.mark.parametrize("value", ["on", "off", "inherit"])
def test_a_later_edit_replaces_what_was_scheduled(acme, value):
    change = schedule(acme)
    assert set_require_mfa(acme, to=MfaRule(value), by=SYSTEM, now=NOW + DAY)
    assert state_of(change) == ScheduleState.REPLACED
    assert apply_due_changes(now=DATE) == 0


def test_what_was_cancelled_never_acts(acme, ada):
    change = schedule(acme)
    cancel_scheduled_mfa(acme, by=Caller.of(ada), now=NOW + DAY)
    assert (state_of(change), change.ended_label) == (ScheduleState.CANCELLED, "ada@acme.test")
    assert apply_due_changes(now=DATE) == 0
    with pytest.raises(ValidationError):
        cancel_scheduled_mfa(acme, by=Caller.of(ada), now=NOW + DAY)
    assert actions()[-1] == "mfa_requirement.change_cancelled"


def test_on_that_holds_already_cannot_be_scheduled_but_its_lock_can(agency):
    set_require_mfa(agency, to=MfaRule.on(), by=SYSTEM, now=NOW)
    assert schedule(agency) is None
    assert schedule(agency, locked=True).locked
    apply_due_changes(now=DATE)
    agency.refresh_from_db()
    assert (agency.require_mfa, agency.require_mfa_locked) == ("on", True)


def test_it_holds_though_whoever_asked_for_it_has_left(acme, ada):
    schedule(acme, by=Caller.of(ada))
    ada.delete()
    assert apply_due_changes(now=DATE) == 1


def test_a_move_takes_the_schedule_along(acme):
    schedule(acme)
    move_organisation(acme, to=factories.organisation(), by=SYSTEM, now=NOW)
    apply_due_changes(now=DATE)
    acme.refresh_from_db()
    assert acme.effective_require_mfa


def test_a_suspended_environment_requires_it_when_it_is_back(acme, ada):
    schedule(acme)
    suspend(acme, by=SYSTEM, now=NOW)
    apply_due_changes(now=DATE)
    assert not mfa_required(ada)
    resume(acme, by=SYSTEM, now=DATE)
    assert mfa_required(ada)


@pytest.mark.django_db(transaction=True)
def test_eight_workers_apply_it_once(acme):
    schedule(acme)

    def work(_number):
        try:
            return apply_due_changes(now=DATE)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 1
    assert actions() == ["mfa_requirement.change_requested", "mfa_requirement.change_applied"]


# -- An organisation's own key -----------------------------------------------------------------


@pytest.fixture
def key(acme, ada):
    return create_organisation_key(acme, name="bot", roles=[Role.ADMINISTRATOR], by=Caller.of(ada), now=NOW)[0]


def test_a_key_of_the_organisation_can_schedule_and_bring_forward_but_not_loosen(acme, key):
    change = schedule(acme, by=Caller.by_key(key))
    assert (change.requested_by, change.requested_label) == (None, str(key))
    for loosening in (
        lambda: schedule(acme, acts_at=DATE + DAY, by=Caller.by_key(key)),
        lambda: cancel_scheduled_mfa(acme, by=Caller.by_key(key), now=NOW),
        lambda: set_require_mfa(acme, to=MfaRule.inherit(), by=Caller.by_key(key), now=NOW),
        lambda: set_require_mfa(acme, to=MfaRule.off(), by=Caller.by_key(key), now=NOW),
    ):
        with pytest.raises(PermissionDenied):
            loosening()
    assert state_of(change) == ScheduleState.PENDING
    schedule(acme, acts_at=DATE - DAY, by=Caller.by_key(key))
    assert set_require_mfa(acme, to=MfaRule.on(), by=Caller.by_key(key), now=NOW)


def test_a_key_of_the_organisation_cannot_take_a_scheduled_lock_off(agency):
    boss = factories.member(agency, Role.ADMINISTRATOR)
    key = create_organisation_key(agency, name="bot", roles=[Role.ADMINISTRATOR], by=Caller.of(boss), now=NOW)[0]
    schedule(agency, locked=True, by=Caller.by_key(key))
    for loosening in (
        lambda: schedule(agency, acts_at=DATE - DAY, locked=False, by=Caller.by_key(key)),
        lambda: set_require_mfa(agency, to=MfaRule.on(), by=Caller.by_key(key), now=NOW),
    ):
        with pytest.raises(PermissionDenied):
            loosening()


def test_a_key_of_the_organisation_cannot_loosen_by_inherit_even_where_on_is_inherited(agency, acme, key):
    set_require_mfa(agency, to=MfaRule.on(), by=SYSTEM, now=NOW)
    with pytest.raises(PermissionDenied):
        set_require_mfa(acme, to=MfaRule.off(), by=Caller.by_key(key), now=NOW)
    set_require_mfa(acme, to=MfaRule.on(), by=Caller.by_key(key), now=NOW)
    with pytest.raises(PermissionDenied):
        set_require_mfa(acme, to=MfaRule.inherit(), by=Caller.by_key(key), now=NOW)


# -- Whom it hits ------------------------------------------------------------------------------


def test_only_environments_that_will_newly_require_it_count(agency, acme):
    own_off, own_on = factories.environment(parent=agency), factories.environment(parent=agency)
    set_require_mfa(own_off, to=MfaRule.off(), by=SYSTEM, now=NOW)
    set_require_mfa(own_on, to=MfaRule.on(), by=SYSTEM, now=NOW)
    suspend(factories.environment(parent=agency), by=SYSTEM, now=NOW)
    factories.environment()
    assert list(newly_requiring(agency, locked=False)) == [acme]
    assert set(newly_requiring(agency, locked=True)) == {acme, own_off}


def test_an_off_of_its_own_does_not_shield_the_node_itself(agency, acme):
    set_require_mfa(agency, to=MfaRule.off(), by=SYSTEM, now=NOW)
    assert list(newly_requiring(agency, locked=False)) == [acme]
    set_require_mfa(acme, to=MfaRule.off(), by=SYSTEM, now=NOW)
    assert list(newly_requiring(acme, locked=False)) == [acme]
    assert list(newly_requiring(agency, locked=False)) == []


def test_those_are_hit_who_reach_it_by_password_without_a_factor(agency, acme, ada):
    agent = factories.member(agency, Role.MEMBER)
    give_app(factories.member(acme, Role.MEMBER))
    by_sso = factories.member(acme, Role.MEMBER, password=None)
    by_sso.social_auth.create(provider="oidc-acme", uid="sso", id_key="sub")
    factories.member(acme, Role.MEMBER, is_active=False)
    factories.member(factories.environment(parent=agency))
    factories.member(factories.environment())
    set_require_mfa(factories.environment(parent=agency), to=MfaRule.off(), by=SYSTEM, now=NOW)
    assert set(people_who_will_lack_factor(schedule(acme))) == {agent, ada}


def test_a_user_sees_which_environments_will_require_it_and_when_the_soonest_first(
    agency, acme, ada, django_assert_num_queries
):
    other = factories.environment(parent=agency, name="Other")
    agent = factories.member(agency, Role.MEMBER)
    assert requirement_to_come(agent) is None
    whole = schedule(agency, acts_at=DATE + DAY)
    first = schedule(acme)
    with django_assert_num_queries(1):
        assert [(one, one.requires_from) for one in soon_requiring(agent)] == [
            (acme, DATE),
            (other, DATE + DAY),
        ]
    with django_assert_num_queries(1):
        assert requirement_to_come(agent) == first.acts_at
    assert requirement_to_come(factories.member(other)) == whole.acts_at
    assert requirement_to_come(factories.member(factories.environment())) is None
    set_require_mfa(acme, to=MfaRule.on(), by=SYSTEM, now=NOW)
    assert [one.name for one in soon_requiring(ada)] == []
    assert requirement_to_come(ada) is None


def test_an_off_below_is_announced_only_where_a_lock_will_overrule_it(agency, acme, ada):
    set_require_mfa(acme, to=MfaRule.off(), by=SYSTEM, now=NOW)
    schedule(agency)
    assert (requirement_to_come(ada), list(soon_requiring(ada))) == (None, [])
    locked = schedule(agency, locked=True)
    assert (requirement_to_come(ada), list(soon_requiring(ada))) == (locked.acts_at, [acme])
