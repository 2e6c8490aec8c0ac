"""Require MFA from a date: who is reminded of it and when, and who is mailed when it changes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from environments import tasks
from environments.caller import SYSTEM, Caller
from environments.choices import Role, ScheduleState
from environments.models import MfaChange, MfaReminder, Organisation
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import apply_due_changes, cancel_scheduled_mfa, remind_members
from environments.policies.services import set_require_mfa
from tests import factories
from tests.broker import waiting_tasks
from tests.environments.test_mfa_schedule import DATE, DAY, MOMENT, schedule, state_of
from tests.factories import NOW
from tests.logging_in import give_app
from tests.mailbox import clear_mails, sent_mails

pytestmark = pytest.mark.django_db


@pytest.fixture
def mailed_at(django_capture_on_commit_callbacks):
    """Return a function that sends what is due at an instant, and tells to whom."""

    def remind(at):
        before = len(sent_mails())
        with django_capture_on_commit_callbacks(execute=True):
            tasks_at(at)
        return sorted(sent.to[0] for sent in sent_mails()[before:])

    return remind


def tasks_at(at):
    remind_members(now=at)
    remind_members(now=at)  # a second beat, or the task delivered again


def test_members_are_reminded_a_week_and_a_day_before_once_each(acme, ada, mailed_at):
    factories.member(acme, Role.MEMBER, email="lotte@acme.test")
    give_app(factories.member(acme, Role.MEMBER))
    schedule(acme)
    both = ["ada@acme.test", "lotte@acme.test"]
    sent = {at: mailed_at(DATE - at) for at in (8 * DAY, 7 * DAY, 6 * DAY, DAY + MOMENT, DAY, MOMENT, -MOMENT)}
    assert sent == {8 * DAY: [], 7 * DAY: both, 6 * DAY: [], DAY + MOMENT: [], DAY: both, MOMENT: [], -MOMENT: []}
    assert MfaReminder.objects.count() == 4


def test_where_the_date_is_nearer_than_a_week_they_get_a_mail_at_once_and_a_day_before(acme, ada, mailed_at):
    schedule(acme, acts_at=NOW + 3 * DAY)
    at_once, next_day, last_day, later = (mailed_at(NOW + n * DAY) for n in (0, 1, 2, 2.5))
    assert (at_once, next_day, last_day, later) == (["ada@acme.test"], [], ["ada@acme.test"], [])


def test_where_the_date_is_nearer_than_a_day_they_get_one_mail(acme, ada, mailed_at):
    schedule(acme, acts_at=NOW + DAY)
    assert mailed_at(NOW) == ["ada@acme.test"]
    assert mailed_at(NOW + DAY - MOMENT) == []


def test_a_reminder_whose_time_has_passed_is_not_made_up(acme, ada, mailed_at):
    schedule(acme)
    assert mailed_at(DATE - DAY / 2) == ["ada@acme.test"]
    assert MfaReminder.objects.get().which == "last"


def test_whoever_set_up_a_factor_meanwhile_gets_no_mail_and_whoever_joins_does(acme, ada, mailed_at):
    schedule(acme)
    assert mailed_at(DATE - 7 * DAY) == ["ada@acme.test"]
    give_app(ada)
    factories.member(acme, Role.MEMBER, email="new@acme.test")
    assert mailed_at(DATE - 3 * DAY) == ["new@acme.test"]
    assert mailed_at(DATE - DAY) == ["new@acme.test"]


def test_nobody_is_reminded_of_what_was_cancelled(acme, ada, mailed_at):
    schedule(acme)
    cancel_scheduled_mfa(acme, by=Caller.of(ada), now=NOW)
    assert mailed_at(DATE - 7 * DAY) == []


def test_a_reminder_names_environments_and_date_in_the_readers_language_and_zone(acme, ada, mailed_at):
    ada.language = "nl"
    ada.save(update_fields=["language"])
    factories.environment(parent=Organisation.objects.get_parent(acme), name="Hidden from Ada")
    schedule(Organisation.objects.get_parent(acme))
    mailed_at(DATE - DAY)
    sent = sent_mails()[-1]
    html = sent.alternatives[0][0]
    assert sent.subject == "Vanaf 22 december 2026 hebt u een tweede factor nodig voor Acme"
    for text in (sent.body, html):
        assert "Acme" in text
        assert "22 december 2026, 13:00" in text
        assert "/profile/security/" in text
        assert "Hidden from Ada" not in text


@pytest.mark.django_db(transaction=True)
def test_eight_beats_at_once_send_each_reminder_once(acme):
    people = [factories.member(acme, Role.MEMBER).email for _number in range(5)]
    schedule(acme)
    list(waiting_tasks())
    clear_mails()

    def work(_number):
        try:
            return remind_members(now=DATE - 7 * DAY)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 5
    assert sorted(sent.to[0] for sent in sent_mails()) == sorted(people)


# -- Mails to administrators -------------------------------------------------------------------


@pytest.fixture
def mails_of():
    """Return a function that calls something, lets the worker mail, and returns addresses and subjects."""

    def run(call):
        clear_mails()
        call()
        return sorted((sent.to[0], sent.subject) for sent in sent_mails())

    return run


def test_those_who_can_change_it_get_a_mail_whichever_way_it_changes(agency, acme, ada, mails_of):
    factories.member(agency, Role.ORGANISATION_MANAGER, email="boss@agency.test", language="nl")
    factories.member(agency, Role.ENVIRONMENT_MANAGER)
    factories.member(acme, Role.MEMBER)

    def english(call):
        lines = mails_of(call)
        assert [address for address, _subject in lines] == ["ada@acme.test", "boss@agency.test"]
        assert "meervoudige verificatie" in lines[1][1].lower()
        return lines[0][1]

    def put(value):
        return lambda: set_require_mfa(acme, to=MfaRule(value), by=Caller.of(ada), now=NOW)

    required = "Acme requires multi-factor authentication now"
    no_longer = "Acme no longer requires multi-factor authentication"
    assert english(lambda: schedule(acme, by=Caller.of(ada))) == "Acme will require multi-factor authentication"
    assert sent_mails()[0].alternatives[0][1] == "text/html"
    cancelled = "Acme will not require multi-factor authentication from 22 December 2026"
    assert english(lambda: cancel_scheduled_mfa(acme, by=Caller.of(ada), now=NOW)) == cancelled
    assert english(put("on")) == required
    assert english(put("inherit")) == no_longer
    assert "Its own value is Inherit now" in sent_mails()[0].body
    assert english(put("on")) == required
    assert english(put("off")) == no_longer
    schedule(acme, by=Caller.of(ada))
    assert english(lambda: apply_due_changes(now=DATE)) == required
    set_require_mfa(agency, to=MfaRule.on(), by=SYSTEM, now=NOW)
    assert english(put("inherit")) == "The multi-factor authentication setting of Acme was changed"
    assert mails_of(put("inherit")) == []


def test_taking_back_a_schedule_by_an_edit_is_mailed_too(acme, ada, mails_of):
    schedule(acme, by=Caller.of(ada))
    lines = mails_of(lambda: set_require_mfa(acme, to=MfaRule.inherit(), by=Caller.of(ada), now=NOW))
    assert lines == [("ada@acme.test", "Acme will not require multi-factor authentication from 22 December 2026")]


def test_a_mail_about_an_organisation_that_is_gone_is_dropped(db):
    tasks.mail_administrators(0, {"what": "on", "who": "Ada"})
    assert sent_mails() == []


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
