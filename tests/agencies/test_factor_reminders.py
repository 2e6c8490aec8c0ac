"""Remind people without a second factor: who gets the mail, how often, and what is recorded."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from agencies.compliance.reminders import remind
from audit.models import Event
from environments.caller import Caller
from environments.choices import Role
from tests.agencies.test_compliance import get
from tests.factories import member
from tests.logging_in import give_app
from tests.mailbox import clear_mails, sent_mails

pytestmark = pytest.mark.django_db
REMIND = "/aurora/compliance/people/remind/"


@pytest.fixture
def lea(aurora) -> User:
    return member(get("shop"), Role.MEMBER, email="lea@bakker.test", name="Lea")


@pytest.fixture
def tom(aurora) -> User:
    return member(get("lab"), Role.MEMBER, email="tom@aurora.test", name="Tom")


@pytest.fixture
def send(ada, django_capture_on_commit_callbacks):
    """Return a function that sends the form of an address, or these people of it, and returns who gets a mail."""

    def posted(address: str = REMIND, shown: list[int] | None = None) -> list[str]:
        clear_mails()
        if shown is None:
            shown = [int(pk) for pk in re.findall(r'name="shown" value="(\d+)"', ada.get(address).text)]
        with django_capture_on_commit_callbacks(execute=True):
            assert ada.post(address, {"shown": shown}).status_code == 302
        return sorted(to for message in sent_mails() for to in message.to)

    return posted


def test_all_are_shown_before_they_get_the_mail(ada, lea, tom, send):
    give_app(member(get("lab"), name="Ready"))
    member(get("elsewhere"), name="Elsewhere")
    page = ada.get(REMIND)
    assert page.context["people"] == [lea, tom]

    assert send() == ["lea@bakker.test", "tom@aurora.test"]
    (message,) = [each for each in sent_mails() if each.to == ["lea@bakker.test"]]
    assert message.subject == "Aurora asks you to set up a second factor"
    assert "of Aurora asks you" in message.body
    events = Event.objects.filter(action="factor.reminded").order_by("subject_id")
    assert [(each.subject_id, each.organisation_label) for each in events] == [(lea.pk, "Aurora"), (tom.pk, "Aurora")]


def test_one_person_is_reminded_alone(lea, tom, send):
    assert send(f"{REMIND}?person={tom.pk}") == ["tom@aurora.test"]


@pytest.mark.parametrize("person", ["", "x", "0", "-1", "9" * 30])
def test_nobody_is_reminded_by_an_id_of_nobody(lea, send, person):
    assert send(f"{REMIND}?person={person}") == []


def test_nobody_is_reminded_twice_in_a_week_from_wherever_it_is_asked(ada, lea, tom, send, time_machine):
    time_machine.move_to(timezone.now(), tick=False)
    assert send(f"/bakker/compliance/people/remind/?person={lea.pk}") == ["lea@bakker.test"]
    page = ada.get(REMIND)
    assert (page.context["people"], page.context["left_out"]) == ([tom], 1)
    assert send() == ["tom@aurora.test"]

    time_machine.shift(timedelta(days=7) - timedelta(seconds=1))
    assert send() == []
    time_machine.shift(timedelta(seconds=1))
    assert send() == ["lea@bakker.test", "tom@aurora.test"]


def test_people_of_elsewhere_cannot_be_reminded(ada, aurora, send):
    stranger = member(get("elsewhere"))
    assert send(f"{REMIND}?person={stranger.pk}", [stranger.pk]) == []
    assert send(REMIND, [stranger.pk]) == []


def test_only_who_was_shown_and_still_needs_it_gets_the_mail(ada, lea, tom, send):
    shown = [user.pk for user in ada.get(REMIND).context["people"]]
    give_app(tom)
    member(get("lab"), Role.MEMBER, name="Added since")

    assert send(REMIND, shown) == ["lea@bakker.test"]
    (said,) = [str(each) for each in ada.get("/aurora/compliance/people/").context["messages"]]
    assert said == (
        "A reminder was mailed to 1 person. 1 person on the page needs none any more, or got one meanwhile. "
        "1 person without a second factor was not on the page and got none."
    )


def test_when_all_who_were_shown_get_it_nothing_else_is_said(ada, lea, send):
    assert send() == ["lea@bakker.test"]
    (said,) = [str(each) for each in ada.get("/aurora/compliance/people/").context["messages"]]
    assert said == "A reminder was mailed to 1 person."


@pytest.mark.django_db(transaction=True)
def test_of_two_requests_at_once_one_mails_a_person(aurora, lea, tom):
    by, now = Caller.of(tom), timezone.now()

    def once(_number: int) -> int:
        try:
            return remind([lea, tom], aurora, by=by, now=now)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(once, range(4))) == [0, 0, 0, 2]
    assert Event.objects.filter(action="factor.reminded").count() == 2
