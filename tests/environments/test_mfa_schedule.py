"""Require MFA from a date: whom it hits, what is mailed and when, and that it acts once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.models import Event
from environments import tasks
from environments.choices import Role, ScheduleState
from environments.keys import mint_organisation_key
from environments.mfa_reach import about_to_require, newly_requiring, next_requirement, people_hit
from environments.mfa_schedule import apply_due_changes, cancel_scheduled_mfa, remind_members, schedule_mfa
from environments.models import MfaChange, MfaReminder, Organisation
from environments.policies import mfa_required
from environments.services import move_organisation, resume, set_require_mfa, suspend
from tests import factories
from tests.broker import run_waiting, waiting
from tests.factories import NOW
from tests.signing_in import app_of

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)
DATE = NOW + 30 * DAY


@pytest.fixture
def agency():
    return factories.organisation(name="Noorderlicht", slug="noorderlicht")


@pytest.fixture
def acme(agency):
    return factories.environment(parent=agency, name="Acme", slug="acme")


@pytest.fixture
def ada(acme):
    return factories.member(acme, Role.ADMINISTRATOR, email="ada@acme.test")


def schedule(organisation, *, acts_at=DATE, locked=False, by=None, now=NOW):
    return schedule_mfa(organisation, acts_at=acts_at, locked=locked, by=by, now=now)


def state_of(change):
    change.refresh_from_db()
    return change.state


def actions():
    return list(
        Event.objects.filter(action__startswith="mfa_requirement.").order_by("pk").values_list("action", flat=True)
    )


# -- The schedule ------------------------------------------------------------------------------


def test_nothing_changes_before_the_date_and_everything_at_it(acme, ada):
    change = schedule(acme, by=ada)
    assert apply_due_changes(now=DATE - MOMENT) == 0
    assert not mfa_required(ada)
    assert apply_due_changes(now=DATE) == 1
    assert (mfa_required(ada), state_of(change)) == (True, ScheduleState.APPLIED)
    assert actions() == ["mfa_requirement.change_requested", "mfa_requirement.change_applied"]


def test_applying_twice_is_applying_once(acme):
    schedule(acme)
    assert (apply_due_changes(now=DATE), apply_due_changes(now=DATE + DAY)) == (1, 0)
    set_require_mfa(acme, value="off", by=None, now=DATE + DAY)
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
    assert set_require_mfa(acme, value=value, by=None, now=NOW + DAY)
    assert state_of(change) == ScheduleState.REPLACED
    assert apply_due_changes(now=DATE) == 0


def test_what_was_cancelled_never_acts(acme, ada):
    change = schedule(acme)
    cancel_scheduled_mfa(acme, by=ada, now=NOW + DAY)
    assert (state_of(change), change.ended_label) == (ScheduleState.CANCELLED, "ada@acme.test")
    assert apply_due_changes(now=DATE) == 0
    with pytest.raises(ValidationError):
        cancel_scheduled_mfa(acme, by=ada, now=NOW + DAY)
    assert actions()[-1] == "mfa_requirement.change_cancelled"


def test_on_that_holds_already_cannot_be_scheduled_but_its_lock_can(agency):
    set_require_mfa(agency, value="on", by=None, now=NOW)
    assert schedule(agency) is None
    assert schedule(agency, locked=True).locked
    apply_due_changes(now=DATE)
    agency.refresh_from_db()
    assert (agency.require_mfa, agency.require_mfa_locked) == ("on", True)


def test_it_holds_though_whoever_asked_for_it_has_left(acme, ada):
    schedule(acme, by=ada)
    ada.delete()
    assert apply_due_changes(now=DATE) == 1


def test_a_move_takes_the_schedule_along(acme):
    schedule(acme)
    move_organisation(acme, to=factories.organisation(), by=None, now=NOW)
    apply_due_changes(now=DATE)
    acme.refresh_from_db()
    assert acme.effective_require_mfa


def test_a_suspended_environment_requires_it_when_it_is_back(acme, ada):
    schedule(acme)
    suspend(acme, by=None, now=NOW)
    apply_due_changes(now=DATE)
    assert not mfa_required(ada)
    resume(acme, by=None, now=DATE)
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
    return mint_organisation_key(acme, name="bot", roles=[Role.ADMINISTRATOR], by=ada, now=NOW)[0]


def test_a_key_of_the_organisation_may_schedule_and_bring_forward_but_not_loosen(acme, key):
    change = schedule(acme, by=key)
    assert (change.requested_by, change.requested_label) == (None, str(key))
    for loosening in (
        lambda: schedule(acme, acts_at=DATE + DAY, by=key),
        lambda: cancel_scheduled_mfa(acme, by=key, now=NOW),
        lambda: set_require_mfa(acme, value="inherit", by=key, now=NOW),
        lambda: set_require_mfa(acme, value="off", by=key, now=NOW),
    ):
        with pytest.raises(PermissionDenied):
            loosening()
    assert state_of(change) == ScheduleState.PENDING
    schedule(acme, acts_at=DATE - DAY, by=key)
    assert set_require_mfa(acme, value="on", by=key, now=NOW)


def test_a_key_of_the_organisation_cannot_take_a_scheduled_lock_off(agency):
    boss = factories.member(agency, Role.ADMINISTRATOR)
    key = mint_organisation_key(agency, name="bot", roles=[Role.ADMINISTRATOR], by=boss, now=NOW)[0]
    schedule(agency, locked=True, by=key)
    for loosening in (
        lambda: schedule(agency, acts_at=DATE - DAY, locked=False, by=key),
        lambda: set_require_mfa(agency, value="on", locked=False, by=key, now=NOW),
    ):
        with pytest.raises(PermissionDenied):
            loosening()


def test_a_key_of_the_organisation_cannot_loosen_by_inherit_even_where_on_is_inherited(agency, acme, key):
    set_require_mfa(agency, value="on", by=None, now=NOW)
    with pytest.raises(PermissionDenied):
        set_require_mfa(acme, value="off", by=key, now=NOW)
    set_require_mfa(acme, value="on", by=key, now=NOW)
    with pytest.raises(PermissionDenied):
        set_require_mfa(acme, value="inherit", by=key, now=NOW)


# -- Whom it hits ------------------------------------------------------------------------------


def test_only_environments_that_will_newly_require_it_count(agency, acme):
    own_off, own_on = factories.environment(parent=agency), factories.environment(parent=agency)
    set_require_mfa(own_off, value="off", by=None, now=NOW)
    set_require_mfa(own_on, value="on", by=None, now=NOW)
    suspend(factories.environment(parent=agency), by=None, now=NOW)
    factories.environment()
    assert list(newly_requiring(agency, locked=False)) == [acme]
    assert set(newly_requiring(agency, locked=True)) == {acme, own_off}


def test_an_off_of_its_own_does_not_shield_the_node_itself(agency, acme):
    set_require_mfa(agency, value="off", by=None, now=NOW)
    assert list(newly_requiring(agency, locked=False)) == [acme]
    set_require_mfa(acme, value="off", by=None, now=NOW)
    assert list(newly_requiring(acme, locked=False)) == [acme]
    assert list(newly_requiring(agency, locked=False)) == []


def test_those_are_hit_who_reach_it_by_password_without_a_factor(agency, acme, ada):
    agent = factories.member(agency, Role.MEMBER)
    app_of(factories.member(acme, Role.MEMBER))
    by_sso = factories.member(acme, Role.MEMBER, password=None)
    by_sso.social_auth.create(provider="oidc-acme", uid="sso", id_key="sub")
    factories.member(acme, Role.MEMBER, is_active=False)
    factories.member(factories.environment(parent=agency))
    factories.member(factories.environment())
    set_require_mfa(factories.environment(parent=agency), value="off", by=None, now=NOW)
    assert set(people_hit(schedule(acme))) == {agent, ada}


def test_a_user_is_told_which_environments_and_from_when_the_soonest_first(
    agency, acme, ada, django_assert_num_queries
):
    other = factories.environment(parent=agency, name="Other")
    agent = factories.member(agency, Role.MEMBER)
    assert next_requirement(agent) is None
    whole = schedule(agency, acts_at=DATE + DAY)
    first = schedule(acme)
    with django_assert_num_queries(1):
        assert [(one, one.requires_from) for one in about_to_require(agent)] == [(acme, DATE), (other, DATE + DAY)]
    with django_assert_num_queries(1):
        assert next_requirement(agent) == first.acts_at
    assert next_requirement(factories.member(other)) == whole.acts_at
    assert next_requirement(factories.member(factories.environment())) is None
    set_require_mfa(acme, value="on", by=None, now=NOW)
    assert [one.name for one in about_to_require(ada)] == []
    assert next_requirement(ada) is None


def test_an_off_below_is_told_only_where_a_lock_will_overrule_it(agency, acme, ada):
    set_require_mfa(acme, value="off", by=None, now=NOW)
    schedule(agency)
    assert (next_requirement(ada), list(about_to_require(ada))) == (None, [])
    locked = schedule(agency, locked=True)
    assert (next_requirement(ada), list(about_to_require(ada))) == (locked.acts_at, [acme])


# -- Reminders ---------------------------------------------------------------------------------


@pytest.fixture
def mailed_at(django_capture_on_commit_callbacks):
    """Return a function that sends what is due at an instant, and tells to whom."""

    def remind(at):
        before = len(mail.outbox)
        with django_capture_on_commit_callbacks(execute=True):
            tasks_at(at)
        return sorted(sent.to[0] for sent in mail.outbox[before:])

    return remind


def tasks_at(at):
    remind_members(now=at)
    remind_members(now=at)  # a second beat, or the task delivered again


def test_members_are_reminded_a_week_and_a_day_before_once_each(acme, ada, mailed_at):
    factories.member(acme, Role.MEMBER, email="lotte@acme.test")
    app_of(factories.member(acme, Role.MEMBER))
    schedule(acme)
    both = ["ada@acme.test", "lotte@acme.test"]
    sent = {at: mailed_at(DATE - at) for at in (8 * DAY, 7 * DAY, 6 * DAY, DAY + MOMENT, DAY, MOMENT, -MOMENT)}
    assert sent == {8 * DAY: [], 7 * DAY: both, 6 * DAY: [], DAY + MOMENT: [], DAY: both, MOMENT: [], -MOMENT: []}
    assert MfaReminder.objects.count() == 4


def test_where_the_date_is_nearer_than_a_week_they_are_told_at_once_and_a_day_before(acme, ada, mailed_at):
    schedule(acme, acts_at=NOW + 3 * DAY)
    at_once, next_day, last_day, later = (mailed_at(NOW + n * DAY) for n in (0, 1, 2, 2.5))
    assert (at_once, next_day, last_day, later) == (["ada@acme.test"], [], ["ada@acme.test"], [])


def test_where_the_date_is_nearer_than_a_day_they_are_told_once(acme, ada, mailed_at):
    schedule(acme, acts_at=NOW + DAY)
    assert mailed_at(NOW) == ["ada@acme.test"]
    assert mailed_at(NOW + DAY - MOMENT) == []


def test_a_reminder_whose_time_has_passed_is_not_made_up(acme, ada, mailed_at):
    schedule(acme)
    assert mailed_at(DATE - DAY / 2) == ["ada@acme.test"]
    assert MfaReminder.objects.get().which == "last"


def test_whoever_set_up_a_factor_meanwhile_is_left_alone_and_whoever_joins_is_told(acme, ada, mailed_at):
    schedule(acme)
    assert mailed_at(DATE - 7 * DAY) == ["ada@acme.test"]
    app_of(ada)
    factories.member(acme, Role.MEMBER, email="new@acme.test")
    assert mailed_at(DATE - 3 * DAY) == ["new@acme.test"]
    assert mailed_at(DATE - DAY) == ["new@acme.test"]


def test_nobody_is_reminded_of_what_was_cancelled(acme, ada, mailed_at):
    schedule(acme)
    cancel_scheduled_mfa(acme, by=ada, now=NOW)
    assert mailed_at(DATE - 7 * DAY) == []


def test_a_reminder_names_environments_and_date_in_the_readers_language_and_zone(acme, ada, mailed_at):
    ada.language = "nl"
    ada.save(update_fields=["language"])
    factories.environment(parent=Organisation.objects.get_parent(acme), name="Hidden from Ada")
    schedule(Organisation.objects.get_parent(acme))
    mailed_at(DATE - DAY)
    sent = mail.outbox[-1]
    html = sent.alternatives[0][0]
    assert sent.subject == "Vanaf 22 december 2026 hebt u een tweede factor nodig"
    for text in (sent.body, html):
        assert "Acme" in text
        assert "22 december 2026, 13:00" in text
        assert "/profile/security/" in text
        assert "Hidden from Ada" not in text


@pytest.mark.django_db(transaction=True)
def test_eight_beats_at_once_send_each_reminder_once(acme):
    people = [factories.member(acme, Role.MEMBER).email for _number in range(5)]
    schedule(acme)
    list(waiting())
    mail.outbox.clear()

    def work(_number):
        try:
            return remind_members(now=DATE - 7 * DAY)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 5
    assert sorted(sent.to[0] for sent in mail.outbox) == sorted(people)


# -- Mails to administrators -------------------------------------------------------------------


@pytest.fixture
def told(django_capture_on_commit_callbacks):
    """Return a function that calls something, lets the worker mail, and tells subjects by address."""

    def tell(call):
        list(waiting())
        mail.outbox.clear()
        with django_capture_on_commit_callbacks(execute=True):
            call()
        with django_capture_on_commit_callbacks(execute=True):
            run_waiting("environments.tasks.mail_administrators")
        return sorted((sent.to[0], sent.subject) for sent in mail.outbox)

    return tell


def test_those_who_may_change_it_are_mailed_whichever_way_it_changes(agency, acme, ada, told):
    factories.member(agency, Role.ORGANISATION_MANAGER, email="boss@agency.test", language="nl")
    factories.member(agency, Role.ENVIRONMENT_MANAGER)
    factories.member(acme, Role.MEMBER)

    def english(call):
        lines = told(call)
        assert [address for address, _subject in lines] == ["ada@acme.test", "boss@agency.test"]
        assert "meervoudige verificatie" in lines[1][1].lower()
        return lines[0][1]

    def put(value):
        return lambda: set_require_mfa(acme, value=value, by=ada, now=NOW)

    required = "Acme requires Multi-factor authentication now"
    no_longer = "Acme no longer requires Multi-factor authentication"
    assert english(lambda: schedule(acme, by=ada)) == "Acme will require Multi-factor authentication"
    assert mail.outbox[0].alternatives[0][1] == "text/html"
    cancelled = "Acme will not require Multi-factor authentication on that date"
    assert english(lambda: cancel_scheduled_mfa(acme, by=ada, now=NOW)) == cancelled
    assert english(put("on")) == required
    assert english(put("inherit")) == no_longer
    assert "Its own value is Inherit now" in mail.outbox[0].body
    assert english(put("on")) == required
    assert english(put("off")) == no_longer
    schedule(acme, by=ada)
    assert english(lambda: apply_due_changes(now=DATE)) == required
    set_require_mfa(agency, value="on", by=None, now=NOW)
    assert english(put("inherit")) == "Require Multi-factor authentication of Acme was changed"
    assert told(put("inherit")) == []


def test_taking_back_a_schedule_by_an_edit_is_mailed_too(acme, ada, told):
    schedule(acme, by=ada)
    lines = told(lambda: set_require_mfa(acme, value="inherit", by=ada, now=NOW))
    assert lines == [("ada@acme.test", "Acme will not require Multi-factor authentication on that date")]


def test_a_mail_about_an_organisation_that_is_gone_is_dropped(db):
    tasks.mail_administrators(0, {"what": "on", "who": "Ada"})
    assert mail.outbox == []


def test_beat_knows_both_tasks(settings):
    names = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {tasks.apply_mfa_changes.name, tasks.remind_of_mfa.name} <= names


def test_the_tasks_do_what_is_due_now(acme, ada):
    now = timezone.now()
    change = schedule(acme, acts_at=now + timedelta(hours=1), now=now)
    tasks.remind_of_mfa()
    assert MfaReminder.objects.filter(change=change, user=ada).count() == 1
    tasks.apply_mfa_changes()
    assert state_of(change) == ScheduleState.PENDING
    MfaChange.objects.update(acts_at=now)
    tasks.apply_mfa_changes()
    assert state_of(change) == ScheduleState.APPLIED
