"""The weekly mail of compliance: who gets it, when, with which figures, and never twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection, transaction
from django.urls import reverse

from agencies.compliance.digests import beginning_of_week, send_digest, send_digests, turn_off, turn_on
from agencies.models import ComplianceDay, DigestReader, WeeklyDigest
from agencies.tasks import send_digests as task
from audit.models import Event
from environments.caller import Caller
from environments.choices import Role
from environments.members.services import remove_member
from environments.models import Organisation
from tests.factories import member
from tests.logging_in import logged_in_client
from tests.mailbox import clear_mails, sent_mails
from web.models import Delivery

pytestmark = pytest.mark.django_db
FRIDAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, 6, tzinfo=UTC)


@pytest.fixture
def noor(aurora):
    return member(aurora, Role.ENVIRONMENT_MANAGER, email="noor@aurora.test", language="en")


@pytest.fixture
def reader(aurora, noor) -> DigestReader:
    turn_on(aurora, by=Caller.of(noor), now=FRIDAY)
    return DigestReader.objects.get()


@pytest.fixture
def mailed(django_capture_on_commit_callbacks):
    """Return a function that sends the digests at an instant, and returns the mails."""

    def send(now: datetime) -> list:
        clear_mails()
        with time_machine.travel(now, tick=False), django_capture_on_commit_callbacks(execute=True):
            send_digests(now=now)
        return list(sent_mails())

    return send


@pytest.mark.parametrize(
    ("zone", "now", "begins"),
    [
        ("UTC", MONDAY, MONDAY),
        ("UTC", MONDAY - timedelta(microseconds=1), MONDAY - timedelta(days=7)),
        ("UTC", MONDAY + timedelta(days=6, hours=23), MONDAY),
        ("Europe/Amsterdam", MONDAY - timedelta(hours=1), MONDAY - timedelta(hours=1)),
        ("Europe/Amsterdam", datetime(2026, 10, 26, 4, 59, tzinfo=UTC), datetime(2026, 10, 19, 4, tzinfo=UTC)),
        ("Europe/Amsterdam", datetime(2026, 10, 26, 5, 0, tzinfo=UTC), datetime(2026, 10, 26, 5, tzinfo=UTC)),
        ("Pacific/Auckland", datetime(2026, 11, 22, 17, tzinfo=UTC), datetime(2026, 11, 22, 17, tzinfo=UTC)),
    ],
)
def test_a_week_begins_on_monday_morning_in_the_zone_of_the_installation(settings, zone, now, begins):
    settings.TIME_ZONE = zone
    assert beginning_of_week(now) == begins


def test_it_is_mailed_once_a_week_from_monday_morning_on(reader, mailed):
    assert mailed(MONDAY - timedelta(seconds=1)) == []
    (message,) = mailed(MONDAY)
    assert (message.to, message.subject) == (["noor@aurora.test"], "Compliance of Aurora this week")
    assert mailed(MONDAY) == mailed(MONDAY + timedelta(days=6)) == []
    assert len(mailed(MONDAY + timedelta(days=8))) == 1  # nothing ran on that Monday
    assert list(WeeklyDigest.objects.order_by("week").values_list("week", flat=True)) == [
        MONDAY.date(),
        MONDAY.date() + timedelta(days=7),
    ]


def test_who_turns_it_on_in_a_week_waits_for_the_next(aurora, noor, mailed):
    turn_on(aurora, by=Caller.of(noor), now=MONDAY + timedelta(hours=1))
    assert mailed(MONDAY + timedelta(hours=2)) == []
    assert len(mailed(MONDAY + timedelta(days=7))) == 1


def test_turning_it_off_and_on_again_mails_it_no_second_time(aurora, noor, reader, mailed):
    assert len(mailed(MONDAY)) == 1
    turn_off(aurora, by=Caller.of(noor))
    turn_on(aurora, by=Caller.of(noor), now=FRIDAY)
    assert mailed(MONDAY + timedelta(hours=1)) == []


def test_it_has_the_figures_with_their_links_and_the_change_since_last_week(aurora, reader, mailed, settings):
    for days_ago, late in [(6, 50), (7, 1), (8, 60)]:
        day = MONDAY.date() - timedelta(days=days_ago)
        ComplianceDay.objects.create(organisation=aurora, day=day, figures={"environments": 7 + late, "late": late})

    (message,) = mailed(MONDAY)

    lines = message.body.splitlines()
    assert "how they have changed since 16 November 2026:" in " ".join(lines)
    assert "- Environments: 7, 1 fewer" in lines
    assert "- Late: 0, 1 fewer" in lines
    assert "- Held: 0, unchanged" in lines
    assert "- Kept forever: 7, 7 more" in lines
    assert f"{settings.SITE_URL}/aurora/environments/?archival=none" in lines
    assert "- Access that expires: 0" in lines  # which is not stored by day


def test_without_a_stored_day_of_last_week_it_says_nothing_of_changes(reader, mailed):
    (message,) = mailed(MONDAY)
    assert "as they are now:" in message.body
    assert "- Environments: 7\n" in message.body


def test_dutch_readers_get_it_in_dutch(noor, reader, mailed):
    noor.language = "nl"
    noor.save(update_fields=["language"])
    (message,) = mailed(MONDAY)
    assert message.subject == "Naleving van Aurora deze week"
    assert "- Omgevingen: 7" in message.body


def test_it_shows_only_what_the_reader_can_see(aurora, mailed, reader):
    ada = member(aurora, email="ada@aurora.test")
    turn_on(aurora, by=Caller.of(ada), now=FRIDAY)
    bodies = {message.to[0]: message.body for message in mailed(MONDAY)}
    assert "API keys that expire" in bodies["ada@aurora.test"]
    assert "API keys that expire" not in bodies["noor@aurora.test"]


def end_membership(user) -> None:
    remove_member(user.memberships.get(), by=Caller.of(member(Organisation.objects.get(slug="aurora"))), now=FRIDAY)


LOST = {
    "the membership ended": end_membership,
    "the membership has expired": lambda user: user.memberships.update(expires_at=FRIDAY),
    "the role is too low": lambda user: user.memberships.update(roles=[Role.MEMBER]),
    "the account is closed": lambda user: type(user).objects.filter(pk=user.pk).update(is_active=False),
    "the organisation is suspended": lambda user: Organisation.objects.filter(slug="aurora").update(is_suspended=True),
}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST.keys())
def test_nothing_is_mailed_to_who_cannot_see_the_page_any_more(noor, reader, mailed, lost):
    lost(noor)
    assert mailed(MONDAY) == []


def test_it_is_turned_on_and_off_on_the_page_by_each_for_themselves(aurora, ada, noor):
    client = logged_in_client(noor)
    address = reverse("agencies:change-digest", args=["aurora"])
    for do, button in [("on", "Turn the weekly mail off"), ("on", "off</button>"), ("off", "Turn the weekly mail on")]:
        assert client.post(address, {"do": do}).status_code == 302
        assert button in client.get("/aurora/compliance/").text
        assert "Turn the weekly mail on" in ada.get("/aurora/compliance/").text
    actions = Event.objects.filter(action__startswith="digest.").order_by("pk").values_list("action", "actor_label")
    assert list(actions) == [("digest.turned_on", noor.email), ("digest.turned_off", noor.email)]


def test_the_task_runs_when_it_is_nobody_s_turn():
    task()
    assert sent_mails() == []


@pytest.mark.django_db(transaction=True)
def test_of_tasks_at_once_one_mails_a_person(aurora, noor, reader):
    def once(_number: int) -> bool:
        try:
            return send_digest(reader.pk, week=MONDAY.date(), now=MONDAY)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(once, range(4))) == [False, False, False, True]
    assert WeeklyDigest.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_dies_before_its_commit_has_done_nothing(reader):
    with transaction.atomic():
        assert send_digest(reader.pk, week=MONDAY.date(), now=MONDAY)
        transaction.set_rollback(True)
    assert not WeeklyDigest.objects.exists()
    assert not Delivery.objects.exists()
    assert send_digests(now=MONDAY) == 1
    assert Delivery.objects.get().name == "compliance_digest"
