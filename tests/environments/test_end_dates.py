"""Memberships until a date: set by hand, with an invitation or an accepted request; what their end ends."""

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone

from accounts.models import User
from audit.models import Event
from environments import tasks
from environments.access_requests import services as access_requests
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.invitations import services as invitations
from environments.invitations.services import invite
from environments.keys.services import create_organisation_key, create_personal_key
from environments.members import reminders
from environments.members import services as members
from environments.memberships import grant_membership
from environments.models import AccessRequest, ApiKey, Invitation, Membership
from tests import factories
from tests.at_once import at_once
from tests.environments.test_keys import SETTINGS, calling
from tests.logging_in import expire_step_up, log_in, logged_in_client
from web.models import Delivery
from web.versions import ChangedMeanwhile

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
IN_MARCH = datetime(2040, 3, 5, 23, 0, tzinfo=UTC)  # the end of 5 March in Amsterdam is the beginning of the 6th


@pytest.fixture(autouse=True)
def november():
    with time_machine.travel(NOW, tick=True):
        yield


@pytest.fixture
def ada(acme) -> User:
    return factories.member(acme, email="ada@acme.test", name="Ada", time_zone="Europe/Amsterdam")


@pytest.fixture
def vic(acme) -> User:
    return factories.member(acme, Role.MEMBER, email="vic@acme.test", name="Vic")


def membership_of(user: User) -> Membership:
    return Membership.objects.get(user=user)


def page_of(user: User) -> str:
    return f"/acme/members/{membership_of(user).pk}/"


def end_on(client, user: User, day: str, **more: str):
    return client.post(page_of(user), {"do": "end", "until": day, **more}, follow=True)


# -- By hand ------------------------------------------------------------------------------------------


def test_a_date_is_the_end_of_that_day_in_the_viewers_zone_and_both_pages_say_it(client, acme, ada, vic):
    log_in(client, ada)

    answer = end_on(client, vic, "2040-03-05")

    assert membership_of(vic).expires_at == IN_MARCH
    assert "The end date of Vic was saved." in answer.text
    assert "until <time datetime=&quot;" not in answer.text
    for page in ("/acme/members/", page_of(vic)):
        assert (
            '<time datetime="2040-03-05T23:00:00Z" title="2040-03-05 23:00 UTC">5 Mar 2040</time>'
            in client.get(page).text
        )
    assert 'value="2040-03-05"' in client.get(page_of(vic)).text
    assert "at the end of this day in your time zone" in client.get(page_of(vic)).text
    event = Event.objects.get(action="membership.end_changed")
    assert (event.before, event.after) == ({"expires_at": None}, {"expires_at": "2040-03-05T23:00:00Z"})
    assert (event.subject_label, event.actor_label) == ("vic@acme.test", "ada@acme.test")


def test_whoever_saves_the_day_that_they_see_in_another_zone_moves_nothing(client, acme, ada, vic):
    members.change_end(membership_of(vic), until=IN_MARCH, by=SYSTEM, now=NOW)
    bea = factories.member(acme, time_zone="Pacific/Auckland")  # there it is the 6th already
    log_in(client, bea)
    assert 'value="2040-03-06"' in client.get(page_of(vic)).text
    end_on(client, vic, "2040-03-06")
    assert membership_of(vic).expires_at == IN_MARCH
    assert "Undo" not in end_on(client, vic, "2040-03-07").text  # no day here ends when the one before did
    assert membership_of(vic).expires_at == datetime(2040, 3, 7, 11, 0, tzinfo=UTC)


def test_an_empty_date_is_no_end(client, acme, ada, vic):
    members.change_end(membership_of(vic), until=IN_MARCH, by=SYSTEM, now=NOW)
    log_in(client, ada)
    assert "The membership of Vic has no end date." in end_on(client, vic, "").text
    assert membership_of(vic).expires_at is None


@pytest.mark.parametrize("day", ["2026-11-21", "0001-01-01", "9999-12-31", "9500-01-01", "tomorrow", "2040-02-30"])
def test_a_day_that_is_over_or_in_no_calendar_is_refused(client, acme, ada, vic, day):
    log_in(client, ada)
    answer = end_on(client, vic, day)
    assert (answer.status_code, bool(answer.context["end_form"].errors["until"])) == (200, True)
    assert membership_of(vic).expires_at is None


def test_today_is_a_day_that_is_not_over(client, acme, ada, vic):
    log_in(client, ada)
    end_on(client, vic, "2026-11-22")
    assert membership_of(vic).expires_at == datetime(2026, 11, 22, 23, 0, tzinfo=UTC)


def test_the_second_of_two_who_set_an_end_reads_what_the_first_one_changed(acme, ada, vic):
    from web.versions import version_of

    seen = version_of(None)
    assert members.change_end(membership_of(vic), until=IN_MARCH, by=Caller.of(ada), now=NOW, seen=seen)
    with pytest.raises(ChangedMeanwhile, match="changed the end date"):
        members.change_end(
            membership_of(vic), until=IN_MARCH + timedelta(days=1), by=Caller.of(ada), now=NOW, seen=seen
        )
    assert not members.change_end(membership_of(vic), until=IN_MARCH, by=Caller.of(ada), now=NOW, seen=seen)


def test_a_later_end_of_a_sensitive_role_requires_step_up(client, acme, ada):
    bea = factories.member(acme)
    log_in(client, ada)
    expire_step_up()
    assert "/profile/security/confirm/" in end_on(client, bea, "2040-03-05").redirect_chain[0][0]
    assert membership_of(bea).expires_at is None


def test_nobody_sets_the_end_of_a_member_with_more_permissions(acme, ada):
    emma = factories.member(acme, Role.ENVIRONMENT_MANAGER)
    with pytest.raises(PermissionDenied):
        members.change_end(membership_of(ada), until=IN_MARCH, by=Caller.of(emma), now=NOW)


def test_nobody_prolongs_their_own_membership_but_everybody_can_shorten_it(acme):
    emma = factories.member(acme, Role.ENVIRONMENT_MANAGER)
    mine, by = membership_of(emma), Caller.of(emma)
    assert members.change_end(mine, until=IN_MARCH, by=by, now=NOW)
    for later in (None, IN_MARCH + timedelta(seconds=1)):
        with pytest.raises(PermissionDenied, match="prolong"):
            members.change_end(mine, until=later, by=by, now=NOW)
    assert members.change_end(mine, until=IN_MARCH - timedelta(days=1), by=by, now=NOW)


def test_the_last_administrator_of_a_root_without_an_end_date_gets_none(agency):
    ada, bea = factories.member(agency), factories.member(agency)
    by = Caller.of(factories.member(agency))
    membership_of(by.user).delete()
    members.change_end(membership_of(bea), until=IN_MARCH, by=SYSTEM, now=NOW)
    with pytest.raises(ValidationError, match="needs an Administrator without an end date"):
        members.change_end(membership_of(ada), until=IN_MARCH, by=SYSTEM, now=NOW)
    members.change_end(membership_of(bea), until=IN_MARCH + timedelta(days=1), by=SYSTEM, now=NOW)
    members.change_end(membership_of(bea), until=None, by=SYSTEM, now=NOW)
    assert members.change_end(membership_of(ada), until=IN_MARCH, by=SYSTEM, now=NOW)


@pytest.mark.django_db(transaction=True)
def test_of_the_last_two_administrators_at_once_only_one_gets_an_end_date():
    top = factories.organisation(name="Top", slug="top")
    both = [factories.member(top), factories.member(top)]

    def end(person: User) -> bool:
        return members.change_end(membership_of(person), until=IN_MARCH, by=SYSTEM, now=NOW)

    answers = at_once(*[lambda person=person: end(person) for person in both], refused=ValidationError)

    assert [isinstance(answer, ValidationError) for answer in answers].count(True) == 1
    assert Membership.objects.filter(organisation=top, expires_at=None).count() == 1


def test_a_membership_of_another_tenant_is_not_found(client, acme, vic, elsewhere):
    mallory = factories.member(elsewhere)
    log_in(client, mallory)
    for slug in ("acme", "elsewhere"):
        path = f"/{slug}/members/{membership_of(vic).pk}/"
        assert client.post(path, {"do": "end", "until": "2026-12-01"}).status_code == 404
    assert membership_of(vic).expires_at is None


# -- With an invitation or a request ------------------------------------------------------------------


def test_an_invitation_gives_a_membership_until_its_date(client, acme, ada):
    log_in(client, ada)
    client.post("/acme/members/", {"email": "nina@acme.test", "roles": ["member"], "until": "2040-03-05"})
    invitation = Invitation.objects.get()
    assert "until" in client.get("/acme/members/").text
    nina = factories.UserFactory(email="nina@acme.test")
    membership = invitations.accept_invitation(invitation, user=nina, now=timezone.now())
    assert (membership.roles, membership.expires_at) == (["member"], IN_MARCH)
    event = Event.objects.get(action="membership.granted")
    assert event.after == {"roles": ["member"], "expires_at": "2040-03-05T23:00:00Z"}


def test_an_invitation_mailed_again_keeps_the_end(client, acme, ada):
    invite(acme, email="nina@acme.test", roles=["member"], until=IN_MARCH, by=Caller.of(ada), now=NOW)
    log_in(client, ada)
    client.post(f"/acme/invitations/{Invitation.objects.get().pk}/", {"do": "again"})
    assert Invitation.objects.get().membership_expires_at == IN_MARCH


def test_an_invitation_cannot_be_accepted_after_the_end_that_it_gives(acme, ada):
    soon = NOW + timedelta(days=1)
    invitation = invite(acme, email="nina@acme.test", roles=["member"], until=soon, by=Caller.of(ada), now=NOW)
    assert invitation.expires_at == soon
    nina = factories.UserFactory(email="nina@acme.test")
    with pytest.raises(ValidationError):
        invitations.accept_invitation(invitation, user=nina, now=soon)
    assert not nina.memberships.exists()


def test_an_invitation_until_a_date_that_is_over_is_refused(acme, ada):
    with pytest.raises(ValidationError, match="not over yet"):
        invite(acme, email="nina@acme.test", roles=["member"], until=NOW, by=Caller.of(ada), now=NOW)
    assert not Invitation.objects.exists()


def test_roles_until_a_date_do_not_last_longer_in_a_membership_without_one(acme, ada):
    invitation = invite(acme, email="nina@acme.test", roles=["developer"], until=IN_MARCH, by=Caller.of(ada), now=NOW)
    nina = factories.member(acme, Role.MEMBER, email="nina@acme.test")
    with pytest.raises(ValidationError, match="another end date"):
        invitations.accept_invitation(invitation, user=nina, now=NOW)
    assert (membership_of(nina).roles, membership_of(nina).expires_at) == ([Role.MEMBER], None)


def test_an_accepted_request_gives_a_membership_until_its_date(client, acme, ada):
    asked = AccessRequest.objects.create(organisation=acme, user=factories.UserFactory(email="nina@acme.test"))
    log_in(client, ada)
    path = f"/acme/access-requests/{asked.uuid}/"
    refused = client.post(path, {"do": "accept", "roles": ["member"], "until": "2026-11-21"}, follow=True)
    assert "Choose a day that is not over yet." in refused.text
    assert not asked.user.memberships.exists()
    client.post(path, {"do": "accept", "roles": ["member"], "until": "2040-03-05"})
    assert membership_of(asked.user).expires_at == IN_MARCH


def test_the_service_refuses_a_request_until_a_date_that_is_over(acme, ada):
    asked = AccessRequest.objects.create(organisation=acme, user=factories.UserFactory())
    with pytest.raises(ValidationError):
        access_requests.accept_request(asked, roles=["member"], until=NOW, by=Caller.of(ada), now=NOW)
    assert AccessRequest.objects.waiting().count() == 1


# -- The end ------------------------------------------------------------------------------------------


def test_at_the_end_access_ends_and_the_next_review_ends_what_depended_on_it(client, acme, ada):
    bea = factories.member(acme, email="bea@acme.test", name="Bea")
    by, end = Caller.of(bea), NOW + timedelta(days=2)
    _key, of_acme = create_organisation_key(acme, name="Import", roles=[Role.MEMBER], by=by, now=NOW)
    _key, of_bea = create_personal_key(bea, name="Laptop", by=by, now=NOW)
    invite(acme, email="nina@acme.test", roles=["member"], by=by, now=NOW)
    members.change_end(membership_of(bea), until=end, by=Caller.of(ada), now=NOW)

    with time_machine.travel(end - timedelta(seconds=5), tick=False):
        tasks.review_what_was_stored.run()
    assert membership_of(bea).expires_at == end

    with time_machine.travel(end, tick=True):
        browser = logged_in_client(bea)
        assert browser.get("/acme/").status_code == 404
        assert [calling(raw).get(SETTINGS).status_code for raw in (of_acme, of_bea)] == [403, 404]
        members.end_expired_memberships(now=timezone.now())
        assert not bea.memberships.exists()
        assert not Invitation.objects.exists()
        assert ApiKey.objects.get(name="Import").rests_because == "lost"
        assert ApiKey.objects.get(name="Laptop").revoked_at is not None
    event = Event.objects.get(action="membership.expired")
    assert (event.before, event.subject_label) == (
        {"roles": ["administrator"], "expires_at": "2026-11-24T12:00:00Z"},
        "bea@acme.test",
    )


def test_an_end_that_was_reached_is_not_moved_any_more(acme, ada, vic):
    Membership.objects.filter(user=vic).update(expires_at=NOW)
    for change in (
        lambda: members.change_end(membership_of(vic), until=None, by=Caller.of(ada), now=NOW),
        lambda: members.change_roles(membership_of(vic), roles=["developer"], by=Caller.of(ada), now=NOW),
    ):
        with pytest.raises(ValidationError, match="has ended"):
            change()


@pytest.mark.django_db(transaction=True)
def test_two_reviews_at_once_end_a_membership_once():
    top = factories.organisation(name="Top", slug="top")
    factories.member(top)
    Membership.objects.filter(user=factories.member(top, Role.MEMBER)).update(expires_at=NOW)
    ended = at_once(*[lambda: members.end_expired_memberships(now=NOW) for _time in range(2)])
    assert sorted(ended) == [0, 1]
    assert Event.objects.filter(action="membership.expired").count() == 1


def test_whoever_comes_back_after_the_end_gets_the_new_roles_alone(acme, vic):
    Membership.objects.filter(user=vic).update(expires_at=NOW - timedelta(days=1), roles=["administrator"])
    membership = grant_membership(vic, acme, roles=["member"], until=IN_MARCH, by=SYSTEM, now=NOW)
    assert (membership.roles, membership.expires_at) == (["member"], IN_MARCH)


def test_the_last_day_is_that_of_the_viewer():
    from environments.filters import last_day_before

    with timezone.override("Europe/Amsterdam"):
        assert last_day_before(IN_MARCH) == date(2040, 3, 5)
    with timezone.override("Pacific/Auckland"):
        assert last_day_before(IN_MARCH) == date(2040, 3, 6)


# -- A week ahead -------------------------------------------------------------------------------------


def reminded(now: datetime) -> list[tuple[str, str]]:
    """Run the reminder, and return to whom each mail goes, and which."""
    before = list(Delivery.objects.values_list("pk", flat=True))
    reminders.remind_of_ends(now=now)
    sent = Delivery.objects.exclude(pk__in=before).order_by("name", "recipient")
    return list(sent.values_list("recipient", "name"))


@pytest.fixture
def in_march(acme, ada, vic) -> datetime:
    """Vic has been a member for months, until an end in ten days."""
    end = NOW + timedelta(days=10)
    Membership.objects.filter(user=vic).update(accepted_at=NOW - timedelta(days=90))
    members.change_end(membership_of(vic), until=end, by=Caller.of(ada), now=NOW)
    return end


def test_a_week_ahead_the_member_and_whoever_manages_members_are_mailed_once(acme, ada, vic, in_march):
    factories.member(acme, Role.DEVELOPER)
    assert reminded(in_march - timedelta(days=7, seconds=1)) == []
    assert reminded(in_march - timedelta(days=7)) == [
        ("vic@acme.test", "membership_ends"),
        ("ada@acme.test", "memberships_end"),
    ]
    assert reminded(in_march - timedelta(days=6)) == []


def test_another_end_is_mailed_about_again(acme, ada, vic, in_march):
    reminded(in_march - timedelta(days=7))
    later = in_march + timedelta(days=30)
    members.change_end(membership_of(vic), until=later, by=Caller.of(ada), now=NOW)
    assert reminded(in_march) == []
    assert len(reminded(later - timedelta(days=7))) == 2


def test_many_that_end_are_one_mail_to_whoever_manages_members(acme, ada, in_march):
    for _number in range(3):
        temporary = membership_of(factories.member(acme, Role.MEMBER))
        Membership.objects.filter(pk=temporary.pk).update(
            accepted_at=NOW - timedelta(days=90), expires_at=in_march + timedelta(hours=1)
        )
    names = [name for _whom, name in reminded(in_march - timedelta(days=6))]
    assert sorted(names) == ["membership_ends"] * 4 + ["memberships_end"]


def test_nobody_is_reminded_of_a_membership_that_began_for_a_few_days_or_whose_account_is_closed(acme, ada, in_march):
    visitor = factories.UserFactory()
    grant_membership(visitor, acme, roles=["member"], until=NOW + timedelta(days=5), by=SYSTEM, now=NOW)
    User.objects.filter(email="vic@acme.test").update(is_active=False)
    assert reminded(in_march - timedelta(days=6)) == []


@pytest.mark.django_db(transaction=True)
def test_two_reminders_at_once_mail_once():
    top = factories.organisation(name="Top", slug="top")
    factories.member(top)
    mine = Membership.objects.filter(user=factories.member(top, Role.MEMBER))
    mine.update(accepted_at=NOW - timedelta(days=90), expires_at=NOW + timedelta(days=3))
    counts = at_once(*[lambda: reminders.remind_of_ends(now=NOW) for _time in range(2)])
    assert sorted(counts) == [0, 1]
    assert Delivery.objects.filter(name="membership_ends").count() == 1
